/** How `dure dev` lets a node go: against an HTTP door over a node in memory that takes the change, and turns its pages. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Resize, type ResizeOptions } from '../../../src/main/dev-change.ts';
import type { Crew, Hand } from '../../../src/main/dev-crew.ts';
import { seatOf } from '../../../src/main/dev-seats.ts';
import type { TopologyDone, TopologyRequest } from '../../../src/node/api.ts';
import { advanced, begun, cancelled } from '../../../src/topology/changes.ts';
import type { Topology } from '../../../src/topology/topology.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { withHttpApi } from '../../support/http-api.ts';

/** So long a page stands, milliseconds. */
const pageMs = 100;

/** Begins every change it is asked for, and then turns the page as it is told to. */
class Host extends FakeNode {
  readonly #turns: ((topology: Topology) => Topology)[];

  constructor(turns: ((topology: Topology) => Topology)[]) {
    super(3);
    this.#turns = turns;
  }

  override changeTopology(request: TopologyRequest, done: TopologyDone): void {
    this.topology = begun(this.topology, request, 7, 1000).topology;
    this.#turnLater();
    done(undefined, this.topology);
  }

  #turnLater(): void {
    const turn = this.#turns.shift();
    if (turn === undefined) return;
    setTimeout(() => {
      this.topology = turn(this.topology);
      this.#turnLater();
    }, pageMs);
  }
}

function handOf(number: number, httpPort: number): Hand {
  const { member, joined } = seatOf(number, 6371, false);
  const seat = { member: { ...member, httpPort }, joined };
  const node = { ...member, httpPort, argv: [], config: '' } as unknown as Hand['node'];
  const over = Promise.resolve();
  const is = { pid: 1, isReady: true, isGone: false, departed: undefined };
  return { seat, node, ...is, settled: over, ended: over };
}

/** Makes a crew of three one of two. @returns whether it came to that, and what was written */
async function shrink(turns: ((topology: Topology) => Topology)[]): Promise<{ done: boolean; text: string }> {
  const host = new Host(turns);
  const written: string[] = [];
  let done: boolean | undefined;
  await withHttpApi(
    async ({ port }) => {
      const hands = [1, 2, 3].map((number) => handOf(number, port));
      const crew: ResizeOptions['crew'] = {
        get hands(): readonly Hand[] {
          return host.topology.members.length === 3 ? hands : hands.slice(0, 2);
        },
        isStopping: false,
        hire: (): ReturnType<Crew['hire']> => assert.fail('nobody is to come'),
        settledIn: () => {},
      };
      const out = { write: (text: string) => written.push(text) };
      done = await new Resize({ crew, password: undefined, out }).to(2);
    },
    {},
    host,
  );
  return { done: done!, text: written.join('') };
}

describe('dure dev that becomes smaller', () => {
  it('is done when the node is a member no more', { timeout: 20_000 }, async () => {
    const { done, text } = await shrink([advanced, advanced]);
    assert.match(text, /n3 leaves, and gives away what it holds\.\n.*leave of n3: done after /s);
    assert.equal(done, true);
  });

  it('says that the node stays when somebody cancels its leaving', { timeout: 20_000 }, async () => {
    const { done, text } = await shrink([(topology) => cancelled(topology).topology]);
    assert.match(
      text,
      /n3 stays: its leaving was cancelled meanwhile\. To let it go after all: dure node leave n3\n$/,
    );
    assert.equal(done, false);
  });
});
