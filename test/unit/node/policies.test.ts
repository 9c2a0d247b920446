/**
 * Policies set at run time in a cluster moved by hand: they reach all, outlive everybody, and what is crossed
 * out stays so.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { byteString, readU32, writeU32 } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { type Policy, PolicyTable } from '../../../src/coordinator/policy.ts';
import { POLICY_RULES_MAX, PolicyDocument } from '../../../src/coordinator/policy-document.ts';
import type { PolicyChange, Versions } from '../../../src/node/api.ts';
import { Policies } from '../../../src/node/policies.ts';
import { policiesKey } from '../../../src/node/policy-desk.ts';
import { rowExpireAt } from '../../../src/rows/row.ts';
import { POLICY_PREFIX_MAX, writePolicyChange, writePolicyRules } from '../../../src/wire/policy-messages.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const ids = ['n1', 'n2', 'n3'] as const;
const strict: Policy = { r: 2, w: 2, strict: true };
const fast: Policy = { r: 1, w: 1, strict: false };
const siblings: Policy = { r: 2, w: 2, strict: false, conflicts: 'siblings' };
const fallback: Policy = { r: 2, w: 2, strict: false };

interface Answer {
  readonly error: CodedError | undefined;
  readonly change: PolicyChange | undefined;
}

/** Begins a change; the answer is there when the cluster was moved on. */
function begin(cluster: PumpedCluster, id: string, prefix: string, policy: Policy | undefined): () => Answer {
  const answers: Answer[] = [];
  cluster.node(id).setPolicy(prefix, policy, (error, change) => answers.push({ error, change }));
  return () => {
    assert.equal(answers.length, 1, 'the change is answered once');
    return answers[0]!;
  };
}

function change(
  cluster: PumpedCluster,
  id: string,
  prefix: string,
  policy: Policy | undefined,
): PolicyChange {
  const answer = begin(cluster, id, prefix, policy);
  cluster.pump();
  const { error, change: changed } = answer();
  assert.equal(error, undefined, error?.message);
  return changed!;
}

function refusal(cluster: PumpedCluster, prefix: string, policy: Policy | undefined): CodedError {
  const answer = begin(cluster, 'n1', prefix, policy);
  cluster.pump();
  const { error, change: changed } = answer();
  assert.equal(changed, undefined);
  assert.ok(error !== undefined && error.outcome === 'fail', 'nothing was changed');
  assert.match(error.message, /nothing was changed/);
  return error;
}

function everywhere(cluster: PumpedCluster, key: string, policy: Policy): void {
  for (const id of ids) assert.deepEqual(cluster.node(id).policyOf(key), policy, `${key} at ${id}`);
}

describe('policies set at run time', () => {
  test('a change is durable at all, in force at all, and listed by all', () => {
    const cluster = new PumpedCluster({ rules: [{ prefix: 'config:', policy: fast }] });
    everywhere(cluster, 'lock:a', fallback);
    assert.deepEqual(change(cluster, 'n2', 'lock:', strict), { acknowledged: [...ids], missed: [] });
    everywhere(cluster, 'lock:a', strict);
    everywhere(cluster, 'lo', fallback);
    for (const id of ids) {
      assert.ok(cluster.seat(id).storage.entries.has(policiesKey), `durable at ${id}`);
      assert.deepEqual(
        cluster
          .node(id)
          .policies()
          .map(({ prefix, origin, policy }) => ({ prefix, origin, policy })),
        [
          { prefix: '', origin: 'default', policy: fallback },
          { prefix: 'config:', origin: 'config', policy: fast },
          { prefix: 'lock:', origin: 'run-time', policy: strict },
        ],
      );
      const { time } = cluster.node(id).policies()[2]!;
      assert.equal(time, cluster.seat('n2').clock.wallMs);
    }
    // Over the configuration, over the default, and back.
    change(cluster, 'n1', 'config:', siblings);
    change(cluster, 'n3', '', { r: 3, w: 1, strict: false });
    everywhere(cluster, 'config:a', siblings);
    everywhere(cluster, 'x', { r: 3, w: 1, strict: false });
    change(cluster, 'n2', 'config:', undefined);
    change(cluster, 'n2', '', undefined);
    everywhere(cluster, 'config:a', fast);
    everywhere(cluster, 'x', fallback);
    cluster.finish();
  });

  test('it is not in force before it is durable, and not at all if storage refuses', () => {
    const cluster = new PumpedCluster({ storageAutomatic: false });
    const answer = begin(cluster, 'n1', 'a', strict);
    cluster.pump();
    assert.throws(answer, /answered once/);
    everywhere(cluster, 'a', fallback);
    cluster.seat('n1').storage.complete();
    cluster.pump();
    assert.deepEqual(cluster.node('n1').policyOf('a'), strict);
    assert.deepEqual(cluster.node('n2').policyOf('a'), fallback);
    cluster.seat('n2').storage.complete();
    cluster.pump();
    assert.deepEqual(cluster.node('n2').policyOf('a'), strict);
    assert.throws(answer, /answered once/, 'n3 is waited for');
    cluster.seat('n3').storage.complete();
    cluster.pump();
    assert.deepEqual(answer().change?.acknowledged, [...ids]);
    for (const id of ids) cluster.seat(id).storage.automatic = true;
    cluster.seat('n1').storage.writeError = new CodedError(
      'storage-full',
      'fail',
      'full; nothing was written',
    );
    const refused = begin(cluster, 'n1', 'b', strict);
    cluster.pump();
    assert.equal(refused().error?.code, 'storage-full');
    everywhere(cluster, 'b', fallback);
    cluster.seat('n1').storage.writeError = undefined;
    change(cluster, 'n1', 'c', fast);
    everywhere(cluster, 'b', fallback);
    everywhere(cluster, 'c', fast);
    cluster.finish();
  });

  test('a member that was away is named, and learns it when it is back; what was unset does not return', () => {
    const cluster = new PumpedCluster();
    change(cluster, 'n3', 'old:', fast);
    cluster.isolate('n3');
    cluster.pump();
    assert.deepEqual(change(cluster, 'n1', 'new:', strict), { acknowledged: ['n1', 'n2'], missed: ['n3'] });
    assert.deepEqual(change(cluster, 'n2', 'old:', undefined).missed, ['n3']);
    assert.deepEqual(cluster.node('n3').policyOf('old:a'), fast);
    cluster.healAll();
    cluster.pump();
    cluster.advance(300);
    everywhere(cluster, 'new:a', strict);
    everywhere(cluster, 'old:a', fallback);
    cluster.advance(7000, 50);
    everywhere(cluster, 'old:a', fallback);
    cluster.finish();
  });

  test('a copy that is lost on its way comes by the comparison of fingerprints', () => {
    const cluster = new PumpedCluster();
    cluster.hold('n1', 'n3');
    const answer = begin(cluster, 'n1', 'a', strict);
    cluster.pump();
    cluster.drop('n1', 'n3');
    cluster.release('n1', 'n3');
    assert.throws(answer, /answered once/, 'n3 is live: it is waited for');
    cluster.advance(2100, 20);
    assert.deepEqual(answer().change, { acknowledged: ['n1', 'n2'], missed: ['n3'] });
    cluster.advance(6000, 50);
    everywhere(cluster, 'a', strict);
    cluster.finish();
  });

  test('changes on both sides of a cut: of different prefixes both stay, of one the later', () => {
    const cluster = new PumpedCluster();
    cluster.isolate('n3');
    cluster.pump();
    change(cluster, 'n1', 'left:', strict);
    change(cluster, 'n3', 'right:', siblings);
    change(cluster, 'n3', 'both:', fast);
    cluster.advance(20);
    change(cluster, 'n2', 'both:', strict);
    cluster.healAll();
    cluster.pump();
    cluster.advance(300);
    everywhere(cluster, 'left:a', strict);
    everywhere(cluster, 'right:a', siblings);
    everywhere(cluster, 'both:a', strict);
    // Who has seen a change is later than it, even with a slower clock.
    cluster.seat('n3').clock.wallMs -= 400;
    change(cluster, 'n3', 'both:', fast);
    everywhere(cluster, 'both:a', fast);
    cluster.seat('n3').clock.wallMs += 400;
    cluster.finish();
  });

  test('kept when all are killed; a damaged note says nothing and is learned again', () => {
    const cluster = new PumpedCluster();
    change(cluster, 'n1', 'a', strict);
    change(cluster, 'n1', 'b', fast);
    change(cluster, 'n1', 'b', undefined);
    for (const id of ids) cluster.kill(id);
    const note = cluster.seat('n2').storage.entries.get(policiesKey)!;
    const damaged = note.slice();
    damaged[3]! ^= 1;
    cluster.seat('n2').storage.entries.set(policiesKey, damaged);
    cluster.restart('n2');
    assert.ok(cluster.seat('n2').events.includes('policies-damaged'));
    assert.deepEqual(cluster.node('n2').policyOf('a'), fallback);
    cluster.restart('n1');
    cluster.restart('n3');
    assert.deepEqual(cluster.node('n1').policyOf('a'), strict);
    cluster.advance(7000, 50);
    everywhere(cluster, 'a', strict);
    everywhere(cluster, 'b', fallback);
    assert.deepEqual(cluster.seat('n2').storage.entries.get(policiesKey), note, 'the same document again');
    cluster.finish();
  });

  test('impossible changes are refused with the reason', () => {
    const cluster = new PumpedCluster({ rules: [{ prefix: 'config:', policy: fast }] });
    assert.match(refusal(cluster, 'a', { ...fast, w: 4 }).message, /W=4 is impossible with N=3/);
    assert.match(refusal(cluster, 'a', { ...fast, r: 4 }).message, /R=4 is impossible/);
    assert.match(refusal(cluster, 'a', undefined).message, /only such a one can be unset.*DURE\.POLICY LIST/);
    assert.match(refusal(cluster, 'config:', undefined).message, /only such a one can be unset/);
    const long = 'x'.repeat(POLICY_PREFIX_MAX + 1);
    assert.match(refusal(cluster, long, fast).message, /257 bytes and the limit is 256/);
    change(cluster, 'n1', 'a', fast);
    change(cluster, 'n1', 'a', undefined);
    assert.match(refusal(cluster, 'a', undefined).message, /only such a one can be unset/);
    everywhere(cluster, 'a', fallback);
    cluster.finish();
  });

  test('a bound on prefixes, unset ones included, and all of them in force', () => {
    const cluster = new PumpedCluster();
    const { wallMs } = cluster.seat('n2').clock;
    const rules = Array.from({ length: POLICY_RULES_MAX }, (_, i) => {
      return { prefix: `p${i}:`, policy: strict, time: wallMs, logical: i, node: 'n2' };
    });
    const { digest } = PolicyDocument.EMPTY.with(rules);
    const frame = cluster.forge('n2', 'n1', (writer) => {
      writePolicyRules(writer, { isLast: true, wanted: false, digest, rules });
    });
    cluster.node('n1').frame('n2', frame);
    cluster.pump();
    cluster.advance(7000, 50);
    everywhere(cluster, 'p3:x', strict);
    assert.match(refusal(cluster, 'one more', fast).message, /which is the limit/);
    change(cluster, 'n1', 'p7:', undefined);
    assert.match(refusal(cluster, 'one more', fast).message, /which is the limit/);
    change(cluster, 'n1', 'p7:', fast);
    everywhere(cluster, 'p7:x', fast);
    everywhere(cluster, 'p999:x', strict);
    everywhere(cluster, 'p1000:x', fallback);
    everywhere(cluster, 'p', fallback);
    cluster.kill('n2');
    cluster.seat('n2').storage.entries.delete(policiesKey);
    cluster.restart('n2');
    cluster.advance(300);
    everywhere(cluster, 'p998:x', strict);
    cluster.finish();
  });

  test('while none was ever set nobody says anything', () => {
    const cluster = new PumpedCluster();
    cluster.advance(7000, 50);
    assert.ok(
      cluster.trace.every((line) => !line.endsWith(' family')),
      cluster.trace.join('\n'),
    );
    assert.equal(cluster.seat('n1').storage.entries.has(policiesKey), false);
    cluster.finish();
  });

  test('a rule from the future is refused: one bad clock must not decide for years', () => {
    const cluster = new PumpedCluster();
    const { wallMs } = cluster.seat('n1').clock;
    const frame = cluster.forge('n2', 'n1', (writer) =>
      writePolicyChange(writer, 9, {
        prefix: 'a',
        policy: fast,
        time: wallMs + 3_600_000,
        logical: 0,
        node: 'n2',
      }),
    );
    cluster.node('n1').frame('n2', frame);
    cluster.pump();
    everywhere(cluster, 'a', fallback);
    assert.ok(cluster.seat('n1').events.includes('policy-from-the-future'));
    cluster.finish();
  });

  test('the document keeps its order of lines and tells damage from truth', () => {
    const rule = { prefix: 'a', policy: strict, time: 5, logical: 0, node: 'n1' };
    const note = PolicyDocument.EMPTY.with([rule, { ...rule, prefix: 'b', policy: undefined }]).note();
    assert.deepEqual(
      PolicyDocument.ofNote(note)
        ?.rules()
        .map(({ prefix }) => prefix),
      ['a', 'b'],
    );
    const flipped = note.slice();
    writeU32(flipped, 0, readU32(note, 0) ^ 0x100);
    assert.equal(PolicyDocument.ofNote(flipped), undefined);
  });
});

describe('requests under policies', () => {
  function values(cluster: PumpedCluster, id: string, key: string): string[] {
    let read: Versions | undefined;
    cluster.node(id).readVersions(key, {}, (_error, versions) => {
      read = versions;
    });
    cluster.pump();
    return read!.versions.map(({ value }) => byteString(value)).sort();
  }

  test('another quorum for a request leaves the conflict rule and expiry of the prefix alone', () => {
    const cluster = new PumpedCluster();
    change(cluster, 'n1', 'cart:', { ...siblings, ttlMs: 5000 });
    const key = `cart:${cluster.keyOf('n1')}`;
    cluster.mustWrite('n1', key, 'milk', { policy: strict });
    cluster.mustWrite('n2', key, 'eggs', { policy: { r: 1, w: 3, strict: false } });
    assert.deepEqual(values(cluster, 'n3', key), ['eggs', 'milk']);
    cluster.mustWrite('n1', key, 'bread', {
      policy: { ...fallback, conflicts: 'last-write-wins', ttlMs: 0 },
    });
    assert.deepEqual(values(cluster, 'n3', key), ['bread']);
    cluster.advance(6000, 50);
    assert.deepEqual(values(cluster, 'n3', key), ['bread'], 'its writer said that it lives for ever');
    cluster.finish();
  });

  test('a request that was begun goes on by the policy it began with', () => {
    const cluster = new PumpedCluster({ storageAutomatic: false });
    const key = cluster.keyOf('n1');
    const write = cluster.write('n1', key, 'x', {});
    cluster.node('n1').setPolicy('', { r: 1, w: 3, strict: false }, () => {});
    cluster.pump();
    cluster.seat('n1').storage.complete();
    cluster.pump();
    assert.equal(write.isDone, false);
    cluster.seat('n2').storage.complete();
    cluster.pump();
    assert.equal(write.isDone, true, 'W was 2 when it began');
    for (const id of ids) cluster.seat(id).storage.automatic = true;
    cluster.finish();
  });

  test('a default expiry is that of writes and new keys, and not of updates of what lives for ever', () => {
    const cluster = new PumpedCluster();
    cluster.mustWrite('n1', 't:old', '1');
    change(cluster, 'n1', 't:', { ...fallback, ttlMs: 5000 });
    const { wallMs } = cluster.seat('n2').clock;
    cluster.mustWrite('n2', 't:a', 'x');
    const update = (key: string): void => {
      const call = cluster.update('n2', key, 'incr');
      cluster.pump();
      assert.equal(call.error, undefined);
    };
    update('t:old');
    update('t:count');
    assert.equal(rowExpireAt(cluster.stored('n1', 't:a')!), wallMs + 5000);
    assert.equal(rowExpireAt(cluster.stored('n1', 't:count')!), wallMs + 5000);
    assert.equal(rowExpireAt(cluster.stored('n1', 't:old')!), 0);
    cluster.advance(5100, 50);
    for (const id of ids) {
      assert.equal(cluster.mustRead(id, 't:a'), undefined);
      assert.equal(cluster.mustRead(id, 't:count'), undefined);
      assert.equal(cluster.mustRead(id, 't:old'), '2');
    }
    change(cluster, 'n1', 't:', undefined);
    cluster.mustWrite('n2', 't:a', 'y');
    assert.equal(rowExpireAt(cluster.stored('n1', 't:a')!), 0);
    cluster.finish();
  });

  test('the status tells nodes that know or do otherwise from one another', () => {
    const cluster = new PumpedCluster();
    const of = (id: string) => cluster.node(id).status().policies!;
    const unset = of('n1');
    assert.deepEqual([unset.atRunTime, unset.changedAt], [0, 0]);
    assert.deepEqual(of('n2'), unset);
    change(cluster, 'n1', 'a:', strict);
    const { wallMs } = cluster.seat('n1').clock;
    assert.equal(of('n1').atRunTime, 1);
    assert.ok(Math.abs(of('n1').changedAt - wallMs) < 5, `${of('n1').changedAt} at ${wallMs}`);
    assert.notEqual(of('n1').fingerprint, unset.fingerprint);
    assert.notEqual(of('n1').inForce, unset.inForce);
    assert.deepEqual(of('n3'), of('n1'));
    change(cluster, 'n2', 'a:', undefined);
    assert.equal(of('n1').atRunTime, 0);
    assert.equal(of('n1').inForce, unset.inForce, 'they go by what they went by');
    assert.notEqual(of('n1').fingerprint, unset.fingerprint, 'and know more');
    cluster.finish();
  });

  test('what a key was acknowledged by is the least W of the configuration and of what was set', () => {
    const table = new PolicyTable(
      { r: 2, w: 2, strict: false },
      [{ prefix: 'all:', policy: { r: 1, w: 3, strict: true } }],
      3,
    );
    const policies = new Policies(table);
    assert.deepEqual([policies.leastW('k'), policies.leastW('all:k')], [2, 3]);
    const rule = { time: 1, logical: 0, node: 'n1' };
    policies.use(
      PolicyDocument.EMPTY.with([
        { ...rule, prefix: '', policy: { r: 1, w: 3, strict: true } },
        { ...rule, prefix: 'all:', policy: fast },
      ]),
    );
    assert.deepEqual([policies.leastW('k'), policies.leastW('all:k')], [2, 1]);
  });
});
