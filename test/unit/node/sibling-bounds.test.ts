/**
 * What siblings cost in the long run: the vector has an entry a replica and one for each that was replaced, however
 * many clients write however often; and clients that write with contexts that are a step behind make no more
 * siblings than there are such clients (the interleaving by which early Riak's siblings exploded: Preguiça et al.
 * 2012, section 2).
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import { Prng } from '../../../src/base/prng.ts';
import { Hlc } from '../../../src/causality/hlc.ts';
import type { CausalContext } from '../../../src/causality/version-set.ts';
import { CONTEXT_NONE, versionsOf } from '../../../src/causality/version-set.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import { drawActor } from '../../../src/node/identity.ts';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import { type ComposerContext, SiblingComposer } from '../../../src/node/sibling-composer.ts';
import { Tally } from '../../../src/node/tally.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { decodeContext, encodeContext } from '../../../src/rows/context.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { mergeRows } from '../../../src/rows/merge.ts';
import { KIND_STRING, type Row, STAMP_NONE } from '../../../src/rows/row.ts';
import { versionsOfRow } from '../../../src/rows/siblings.ts';
import { PumpedCluster, textBody } from '../../support/pumped-cluster.ts';

const rowKey = rowKeyOf('cart');
const wall = 1_700_000_000_000;

/** A replica of one key: the real composer, on a disk that is a variable. */
class OneRow {
  row: Row | undefined = undefined;
  readonly #random: { u32: () => number };
  readonly #composer: SiblingComposer;
  readonly #context: ComposerContext;
  readonly #hlc: Hlc = new Hlc();
  #actor: number;
  #counter = 0;

  constructor(id: string, prng: Prng) {
    this.#random = { u32: () => prng.u32() };
    this.#composer = new SiblingComposer(this.#random);
    this.#actor = drawActor(this.#random);
    const replica = { held: () => this.row, floor: STAMP_NONE, rowsReplaced: 0 };
    this.#context = {
      self: id,
      limits: NODE_LIMITS_DEFAULT,
      log: LOG_SILENT,
      replica,
      identity: { hlc: this.#hlc, isContinued: true },
      tally: new Tally(),
      mutants: new Set(),
      now: () => 0,
      wall: () => wall,
    } as unknown as ComposerContext;
  }

  /** Its disk is lost: another actor, and what the others hold. */
  replace(row: Row | undefined): void {
    this.#actor = drawActor(this.#random);
    this.#counter = 0;
    this.row = row;
  }

  take(row: Row): void {
    this.row = this.row === undefined ? row : mergeRows(rowKey, this.row, row);
  }

  write(id: string, seen: CausalContext, text: string): Row {
    for (const { time, logical } of [...seen.vector, ...versionsOfRow(this.row).vector])
      this.#hlc.observe(time, logical);
    const { time, logical } = this.#hlc.next(wall);
    const stamp = { time, logical, actor: this.#actor, counter: this.#counter++ };
    const body = { kind: KIND_STRING, value: bytesOf(text), expireAt: 0 };
    this.row = this.#composer.compose(this.#context, rowKey, body, seen, stamp, [id]);
    return this.row;
  }
}

describe('version vectors', () => {
  test('10^5 updates of 100 clients, replicas replaced now and then: an entry a replica and each that was', (t) => {
    const prng = new Prng(4);
    const ids = ['a', 'b', 'c'];
    const replicas = ids.map((id) => new OneRow(id, prng));
    const tickets: CausalContext[] = Array.from({ length: 100 }, () => CONTEXT_NONE);
    const updates = 100_000;
    let replaced = 0;
    let siblingsMost = 0;
    let entriesMost = 0;
    for (let i = 0; i < updates; i++) {
      const at = prng.below(3);
      const replica = replicas[at]!;
      const client = prng.below(tickets.length);
      // Most read just before they write; some have a context that is old.
      if (prng.chance(0.9)) tickets[client] = contextRead(replica.row);
      const row = replica.write(ids[at]!, tickets[client]!, `v${i}`);
      for (const other of replicas) if (other !== replica && prng.chance(0.7)) other.take(row);
      if (i % 20_000 === 19_999) {
        const lost = replicas[prng.below(3)]!;
        const others = replicas.filter((one) => one !== lost);
        lost.replace(mergeRows(rowKey, others[0]!.row!, others[1]!.row!));
        replaced++;
      }
      if (i % 100 !== 0) continue;
      for (const { row: held } of replicas) {
        const set = versionsOfRow(held);
        siblingsMost = Math.max(siblingsMost, versionsOf(set).length);
        entriesMost = Math.max(entriesMost, set.vector.length);
      }
    }
    t.diagnostic(
      `${updates} updates, 100 clients, 3 replicas, ${replaced} replaced: at most ${entriesMost} entries, ${siblingsMost} siblings`,
    );
    assert.equal(replaced, 5);
    assert.ok(entriesMost <= 3 + replaced, `${entriesMost} entries`);
    assert.ok(entriesMost > 3, 'those that were replaced were written by');
  });
});

function contextRead(row: Row | undefined): CausalContext {
  return row === undefined
    ? CONTEXT_NONE
    : decodeContext(rowKey, encodeContext(rowKey, versionsOfRow(row)), wall + 1_000_000);
}

describe('contexts a step behind', () => {
  const policy: Policy = { r: 2, w: 2, strict: false, conflicts: 'siblings' };

  for (const clients of [2, 5]) {
    test(`${clients} clients in turn, each with what it read before the others wrote: never more siblings than that`, () => {
      const cluster = new PumpedCluster({});
      const prng = new Prng(clients);
      const contexts: (Uint8Array | undefined)[] = Array.from({ length: clients }, () => undefined);
      let most = 0;
      for (let round = 0; round < 60; round++) {
        // All read, then all write: each but the first with a context that is stale by then.
        for (let client = 0; client < clients; client++) {
          const context = contexts[client];
          const at = `n${1 + prng.below(3)}`;
          const options = context === undefined ? { policy } : { policy, context };
          let answered = false;
          cluster.node(at).write('cart', textBody(`${client}.${round}`), options, (error) => {
            assert.equal(error, undefined);
            answered = true;
          });
          cluster.pump();
          assert.ok(answered);
        }
        for (let client = 0; client < clients; client++) {
          cluster.node(`n${1 + prng.below(3)}`).readVersions('cart', { policy }, (error, read) => {
            assert.equal(error, undefined);
            contexts[client] = read!.context;
            most = Math.max(most, read!.versions.length);
          });
          cluster.pump();
        }
      }
      assert.equal(most, clients);
      cluster.finish();
    });
  }

  test('two clients that alternate, each reading only after its own write: never more than two', () => {
    const cluster = new PumpedCluster({});
    const contexts: (Uint8Array | undefined)[] = [undefined, undefined];
    let most = 0;
    for (let i = 0; i < 200; i++) {
      const client = i % 2;
      const context = contexts[client];
      cluster
        .node(`n${1 + (i % 3)}`)
        .write('cart', textBody(`${i}`), context === undefined ? { policy } : { policy, context }, (error) =>
          assert.equal(error, undefined),
        );
      cluster.pump();
      cluster.node(`n${1 + client}`).readVersions('cart', { policy }, (error, read) => {
        assert.equal(error, undefined);
        contexts[client] = read!.context;
        most = Math.max(most, read!.versions.length);
      });
      cluster.pump();
    }
    assert.equal(most, 2);
    cluster.finish();
  });
});
