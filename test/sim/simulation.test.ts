/** The simulation as a whole: one plan gives one run, plans survive printing, failures shrink. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { FAULT_KINDS, isAllowed, isForgetful } from '../../sim/faults.ts';
import { MUTANTS, mutantNamed } from '../../sim/mutants.ts';
import { drawPlan, readPlan, writePlan } from '../../sim/plan.ts';
import { runPlan } from '../../sim/run.ts';
import { shrinkPlan } from '../../sim/shrink.ts';

const main = new URL('../../sim/main.ts', import.meta.url).pathname;

function sim(...args: string[]): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

describe('plans', () => {
  it('are the same for the same seed, differ between seeds, and survive printing', () => {
    const texts = new Set<string>();
    for (let seed = 1; seed <= 50; seed++) {
      const plan = drawPlan(seed);
      assert.deepEqual(drawPlan(seed), plan);
      assert.deepEqual(readPlan(writePlan(plan)), plan);
      texts.add(writePlan(plan));
    }
    assert.equal(texts.size, 50);
    assert.throws(() => readPlan('{"seed": 1}'), /plan: nodes/);
  });

  it('draw every kind of fault, each quorum that P6 speaks of, and only faults their promises bear', () => {
    const kinds = new Set<string>();
    const allowed = new Set<string>();
    for (let seed = 1; seed <= 400; seed++) {
      const plan = drawPlan(seed);
      for (const fault of plan.faults) kinds.add(fault.kind);
      if (plan.strict) {
        assert.ok(plan.r + plan.w > plan.n);
        // What P6 speaks of; siblings are judged by another promise.
        const kinds: readonly string[] =
          plan.siblings === undefined
            ? ['read', 'write', 'flush']
            : ['read', 'versions', 'write', 'delete', 'flush'];
        assert.ok(plan.ops.every((op) => kinds.includes(op.kind)));
      }
      const forgetful = plan.faults.filter(
        ({ kind }) => isForgetful(kind, plan.durability) || kind === 'rot',
      );
      const machines = new Set(forgetful.map((fault) => fault.node));
      assert.ok(machines.size === 0 || machines.size < plan.w, `seed ${seed} forgets too much`);
      for (const { kind } of plan.faults) assert.ok(isAllowed(kind, plan), `seed ${seed}: ${kind}`);
      for (const kind of FAULT_KINDS) if (isAllowed(kind, plan)) allowed.add(kind);
    }
    assert.deepEqual([...kinds].sort(), [...allowed].sort());
  });
});

describe('runs', () => {
  it('are the same to the byte for the same plan, in this process and in another', () => {
    const hashes: string[] = [];
    for (let seed = 501; seed <= 505; seed++) {
      const first = runPlan(drawPlan(seed));
      const second = runPlan(readPlan(writePlan(drawPlan(seed))));
      assert.equal(second.hash, first.hash);
      assert.equal(second.events, first.events);
      hashes.push(first.hash);
    }
    assert.equal(new Set(hashes).size, 5);
    const other = sim('--hash-only', '--from', '501', '--seeds', '5');
    assert.deepEqual(other.stdout.trim().split('\n'), hashes);
  });

  it('are not changed by being watched', () => {
    const lines: string[] = [];
    const plan = drawPlan(501);
    const watched = runPlan(plan, { sink: (line) => lines.push(line) });
    assert.equal(watched.hash, runPlan(plan).hash);
    assert.ok(lines.some((line) => line.includes('HEALED')));
    assert.ok(lines.length > 100);
  });
});

describe('clocks that are wrong by hours', () => {
  it('cost answers, never linearizability', () => {
    let answered = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const faultKinds = ['clock-jump', 'crash', 'cut'] as const;
      const plan = drawPlan(seed, {
        strict: true,
        wildClocks: true,
        nodes: [3, 5],
        faultKinds,
        faults: [4, 10],
      });
      const result = runPlan(plan);
      assert.deepEqual(result.findings, [], `seed ${seed}`);
      answered += result.opsOk;
    }
    assert.ok(answered > 2000);
  });
});

describe('failures', () => {
  const bias = mutantNamed('repair-skipped').bias;
  const mutants = new Set(['repair-skipped']);
  const seed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].find(
    (one) => runPlan(drawPlan(one, bias), { mutants }).findings.length > 0,
  );

  it('shrink to a plan that is much smaller and fails the same way', () => {
    const plan = drawPlan(seed!, bias);
    const before = runPlan(plan, { mutants }).findings[0]!.oracle;
    const shrunk = shrinkPlan(plan, mutants, 600);
    assert.ok(
      shrunk.plan.ops.length + shrunk.plan.faults.length < (plan.ops.length + plan.faults.length) / 4,
    );
    assert.equal(runPlan(readPlan(writePlan(shrunk.plan)), { mutants }).findings[0]?.oracle, before);
    assert.deepEqual(runPlan(shrunk.plan).findings, [], 'the smallest plan passes without the bug');
  });

  it('shrink to few changes of the members, and to machines that are there', () => {
    const [name, at] = ['epoch-skips-adoption', 2] as const;
    const plan = drawPlan(at, mutantNamed(name).bias);
    const { plan: small } = shrinkPlan(plan, new Set([name]), 40);
    assert.ok(small.churn !== undefined && small.churn.changes.length < plan.churn!.changes.length);
    assert.equal(small.clocks.length, small.nodes + small.churn.spares);
    assert.notDeepEqual(runPlan(small, { mutants: new Set([name]) }).findings, []);
    assert.deepEqual(runPlan(small).findings, []);
  });

  it('end the command with code 1, and say how to see them again', () => {
    const failed = sim('--seed', String(seed), '--mutant', 'repair-skipped');
    assert.equal(failed.status, 1);
    assert.match(
      failed.stdout,
      new RegExp(`replay: npm run sim -- --seed ${seed} --mutant repair-skipped --trace`),
    );
    const passed = sim('--seed', '1');
    assert.equal(passed.status, 0, passed.stdout);
    assert.match(passed.stdout, /^seed 1: .*hash [0-9a-f]{16}/);
  });
});

describe('mutants', () => {
  it('have names of their own', () => {
    assert.equal(new Set(MUTANTS.map((mutant) => mutant.name)).size, MUTANTS.length);
    assert.ok(MUTANTS.length >= 20);
    assert.throws(() => mutantNamed('nobody'), /no mutant nobody/);
  });
});
