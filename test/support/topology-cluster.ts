/**
 * A pumped cluster whose members change: changes are asked for and waited for, every step is looked at, and what
 * must hold of epochs at any moment is checked as it goes.
 */

import assert from 'node:assert/strict';
import { byteString } from '../../src/base/bytes.ts';
import type { TopologyDone, TopologyRequest } from '../../src/node/api.ts';
import type { NodeId } from '../../src/ports/transport.ts';
import { encodeTopology } from '../../src/topology/codec.ts';
import type { Topology } from '../../src/topology/topology.ts';
import { PumpedCluster, type PumpedOptions } from './pumped-cluster.ts';
import type { Call } from './watched-calls.ts';

export class TopologyCluster extends PumpedCluster {
  /** The bytes of each epoch that was in force anywhere. */
  readonly pages: Map<number, string> = new Map();
  readonly encoded: WeakMap<Topology, string> = new WeakMap();
  /** Checked at each step: no two nodes that run and are members are more than an epoch apart. */
  isCompanyKept = true;

  constructor(options: PumpedOptions = {}) {
    super(options);
    this.advance(1000);
  }

  /** From now on nodes may be many epochs behind others: a disk was lost, or an epoch forced. */
  allowGaps(): void {
    this.isCompanyKept = false;
  }

  ask(id: NodeId, request: TopologyRequest): Call<TopologyDone> {
    const call = this.call<TopologyDone>(`${request.kind} at ${id}`);
    this.node(id).changeTopology(request, call.done);
    return call;
  }

  /** A change that must begin; time passes until it is answered. */
  mustBegin(id: NodeId, request: TopologyRequest): Topology {
    const call = this.answered(this.ask(id, request));
    assert.equal(call.error, undefined, call.error?.message);
    return call.value as Topology;
  }

  /** Lets time pass until a call is answered. */
  answered<T>(call: Call<T>, ms = 12_000): Call<T> {
    this.until(() => call.isDone, 'the change is answered', ms);
    return call;
  }

  until(isSo: () => boolean, what: string, ms = 12_000): void {
    for (let passed = 0; !isSo(); passed += 20) {
      assert.ok(passed < ms, `${what} within ${ms} ms`);
      this.advance(20, 20);
    }
  }

  epochs(): number[] {
    return this.ids.map((id) => this.node(id).topology.epoch);
  }

  /** Lets time pass until all nodes that run go by the same steady epoch. */
  untilSteady(ms = 12_000): Topology {
    const running = (): Topology[] =>
      [...this.seats.values()].filter((seat) => seat.running).map((seat) => seat.node.topology);
    const isSteady = (): boolean => {
      const [first, ...others] = running();
      return first?.phase === 'steady' && others.every(({ epoch }) => epoch === first.epoch);
    };
    this.until(isSteady, 'all are at one steady epoch', ms);
    return running()[0]!;
  }

  override pump(): void {
    while (this.step()) {
      // Each step is looked at.
    }
  }

  /** One round of turns and of letters. @returns whether anything happened */
  step(): boolean {
    let moved = this.connect();
    moved = this.endTurns() || moved;
    moved = this.deliverOneEach() || moved;
    this.look();
    return moved;
  }

  private look(): void {
    // The first steps are made before this object is whole.
    if (this.pages === undefined) return;
    const epochs: number[] = [];
    for (const { node, running, id } of this.seats.values()) {
      if (!running) continue;
      const { topology } = node;
      const bytes = this.bytesOf(topology);
      const known = this.pages.get(topology.epoch);
      assert.ok(known === undefined || known === bytes, `one epoch ${topology.epoch}, also at ${id}`);
      this.pages.set(topology.epoch, bytes);
      if (topology.has(id)) epochs.push(topology.epoch);
    }
    if (!this.isCompanyKept) return;
    assert.ok(Math.max(...epochs) - Math.min(...epochs) <= 1, `epochs ${epochs.join(', ')} at once`);
  }

  private bytesOf(topology: Topology): string {
    const known = this.encoded.get(topology);
    if (known !== undefined) return known;
    const bytes = byteString(encodeTopology(topology));
    this.encoded.set(topology, bytes);
    return bytes;
  }
}
