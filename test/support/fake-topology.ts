/**
 * A make-believe cluster for the autoscaler: members that share a load, changes of the topology that take a number
 * of looks, as `Lookout` would see them.
 */

import type { Reading } from '../../src/autoscale/samples.ts';
import type { TopologyAnswer, TopologyMemberJson } from '../../src/http/api/topology-json.ts';
import type { Sight } from '../../src/main/autoscale/lookout.ts';
import { NO_MOVES } from '../../src/node/move-figures.ts';

type Change = NonNullable<TopologyAnswer['change']>;

export class FakeTopology {
  members: string[];
  epoch = 1;
  phase: TopologyAnswer['phase'] = 'steady';
  change: Change | undefined;
  /** Operations a second of all clients. */
  load = 0;
  /** Nobody answers. */
  dark = false;
  readonly down: Set<string> = new Set();
  /** Nodes asked to leave, in order. */
  readonly leaves: string[] = [];
  #now = 0;
  readonly #operations: Map<string, number> = new Map();

  constructor(members: readonly string[]) {
    this.members = [...members];
  }

  /** Time passes: the members work. */
  pass(ms: number): void {
    this.#now += ms;
    for (const id of this.members) {
      const share = (this.load / this.members.length) * (ms / 1000);
      this.#operations.set(id, (this.#operations.get(id) ?? 0) + share);
    }
  }

  /** The first epoch of a change. */
  begin(kind: Change['kind'], nodes: readonly string[]): void {
    this.epoch++;
    this.phase = 'copy';
    const beganAt = '2026-11-21T12:00:00.000Z';
    this.change = { kind, id: this.epoch, nodes, gone: [], epoch: this.epoch, beganAt };
  }

  /** The next epoch of the change under way. */
  advance(): void {
    const { change } = this;
    if (this.phase === 'steady' || change === undefined) return;
    this.epoch++;
    if (this.phase === 'copy') {
      this.phase = 'switch';
      return;
    }
    this.phase = 'steady';
    const { kind, nodes } = change;
    if (kind === 'join') this.members.push(...nodes);
    else if (kind !== 'weight') this.members = this.members.filter((id) => !nodes.includes(id));
  }

  leave(id: string): Promise<void> {
    this.leaves.push(id);
    if (this.phase !== 'steady') return Promise.reject(new Error('a change is under way (HTTP 409)'));
    this.begin('leave', [id]);
    return Promise.resolve();
  }

  look(): Promise<Sight> {
    if (this.dark) {
      const problems = ['127.0.0.1:1: nothing listens there'];
      return Promise.resolve({ topology: undefined, topologies: new Map(), readings: new Map(), problems });
    }
    const all = [
      ...this.members,
      ...(this.change?.kind === 'join' && this.phase !== 'steady' ? this.change.nodes : []),
    ];
    const members = all.map((id): TopologyMemberJson => {
      const address = { host: '127.0.0.1', respPort: 1, peerPort: 1, httpPort: 1 };
      const shares = { primaries: 1, replicas: 1 };
      return { id, state: 'owning', zone: 'z', weight: 1, ...address, ...shares, live: !this.down.has(id) };
    });
    const { epoch, phase, change } = this;
    const topology: TopologyAnswer = {
      node: this.members[0]!,
      cluster: 'c',
      epoch,
      phase,
      partitions: 64,
      replicas: 3,
      ...(change === undefined ? {} : { change }),
      members,
      zones: [],
      moves: { ...NO_MOVES, epoch, partitions: 20, partitionsDone: 5, waitsFor: [...this.down] },
    };
    const topologies = new Map([[topology.node, topology]]);
    return Promise.resolve({ topology, topologies, readings: this.#readings(all), problems: [] });
  }

  #readings(all: readonly string[]): Map<string, Reading> {
    const there = all.filter((id) => !this.down.has(id));
    return new Map(
      there.map((id): [string, Reading] => {
        const operations = this.#operations.get(id) ?? 0;
        const uptimeSeconds = this.#now / 1000;
        return [id, { uptimeSeconds, operations, cpuSeconds: 0, storedBytes: 0, latency: [] }];
      }),
    );
  }
}
