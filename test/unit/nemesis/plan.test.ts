/** The plan of faults, the command line, the figures and the page of the nemesis. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chartOf } from '../../nemesis/chart.ts';
import { figuresOf, percentile, worstGap } from '../../nemesis/figures.ts';
import type { Op } from '../../nemesis/history.ts';
import { FAULT_CLASSES, readOptions, UsageError } from '../../nemesis/options.ts';
import { drawPlan, type PlanInput } from '../../nemesis/plan.ts';

const input: PlanInput = { seed: 1, nodes: 3, classes: FAULT_CLASSES, smallDisks: [1], chaosMs: 90_000 };

describe('the plan of faults', () => {
  it('is the same for the same seed and another for another', () => {
    assert.deepEqual(drawPlan(input), drawPlan(input));
    assert.notDeepEqual(drawPlan(input), drawPlan({ ...input, seed: 2 }));
  });

  it('has every class of fault, ends all before healing, and begins quietly', () => {
    for (let seed = 0; seed < 200; seed++) {
      const { faults, healAtMs } = drawPlan({ ...input, seed });
      const kinds = new Set(faults.map(({ kind }) => kind));
      const classes = [
        ['kill', 'kill-all', 'crash-loop'],
        ['freeze'],
        ['isolate', 'one-way', 'partial'],
        ['disk-full'],
      ];
      for (const each of classes)
        assert.ok(
          each.some((kind) => kinds.has(kind as 'kill')),
          `seed ${seed}: ${each}`,
        );
      for (const { atMs, forMs, nodes, kind } of faults) {
        assert.ok(atMs >= 4000 && atMs + forMs <= healAtMs);
        if (kind === 'freeze') assert.ok(forMs >= 1000 && forMs <= 4000);
        if (kind === 'disk-full') assert.deepEqual(nodes, [1]);
      }
    }
  });

  it('never has one node harmed by two faults at a time', () => {
    for (let seed = 0; seed < 200; seed++) {
      const { faults } = drawPlan({ ...input, nodes: 5, seed });
      for (const a of faults) {
        for (const b of faults) {
          if (a === b || a.atMs > b.atMs || a.atMs + a.forMs <= b.atMs) continue;
          assert.ok(!a.nodes.some((node) => b.nodes.includes(node)), `seed ${seed}: ${a.name}, ${b.name}`);
        }
      }
    }
  });

  it('fills no disk where none is small', () => {
    const { faults } = drawPlan({ ...input, smallDisks: [] });
    assert.ok(faults.length > 5 && faults.every(({ kind }) => kind !== 'disk-full'));
    assert.deepEqual(drawPlan({ ...input, classes: ['disk'], smallDisks: [] }).faults, []);
  });
});

describe('the command line of the nemesis', () => {
  it('is read', () => {
    const options = readOptions(['--minutes', '3', '--nodes', '5', '--seed', '7', '--faults', 'kill,cut']);
    assert.ok(options !== 'help');
    assert.deepEqual([options.minutes, options.nodes, options.seed], [3, 5, 7]);
    assert.deepEqual(options.faults, ['kill', 'cut']);
    assert.equal(readOptions(['--help']), 'help');
  });

  it('is refused with the reason', () => {
    for (const [argv, reason] of [
      [['--nodes', '4'], /3 or 5/],
      [['--faults', 'fire'], /kill, freeze, cut, disk; found fire/],
      [['--minutes', 'x'], /--minutes expects a number/],
      [['--what'], /--what/],
    ] as const) {
      assert.throws(
        () => readOptions(argv),
        (error: Error) => error instanceof UsageError && reason.test(error.message),
      );
    }
  });
});

describe('the figures of a run', () => {
  const ops = Array.from({ length: 100 }, (_, i): Op => {
    const isLost = i >= 40 && i < 60;
    return {
      id: i,
      group: 'loose',
      key: 'k',
      kind: 'read',
      value: '',
      client: 'c',
      at: i * 100,
      end: i * 100 + (i === 70 ? 90 : 5),
      outcome: isLost ? 'unknown' : 'ok',
      code: isLost ? 'deadline' : '',
      seen: null,
      removed: false,
      expireAt: 0,
    };
  });
  const fault = {
    name: 'n1 <killed>',
    kind: 'kill' as const,
    from: 4000,
    to: 6000,
    detectedMs: 50,
    recoveredMs: undefined,
  };
  const figures = figuresOf(ops, [fault], 10_000);

  it('count, and find the gap', () => {
    assert.deepEqual([figures.requests, figures.acknowledged, figures.unknown], [100, 80, 20]);
    assert.deepEqual(figures.errors, { 'unknown deadline': 20 });
    assert.equal(figures.worstGapMs, 2100);
    assert.equal(figures.worstGapAtMs, 3905);
    assert.equal(figures.maxMs, 90);
    const [felt] = figures.faults;
    assert.deepEqual([felt!.requests, felt!.failed, felt!.p99Ms], [40, 20, 90]);
    assert.equal(
      figures.steps.reduce((sum, step) => sum + step.ok + step.unknown, 0),
      100,
    );
    assert.equal(worstGap([], 0, 10).ms, 10);
    assert.equal(percentile([1, 2, 3, 4], 0.5), 2);
    assert.equal(percentile([], 0.5), 0);
  });

  it('are drawn with every fault by name, and names cannot break the drawing', () => {
    const svg = chartOf(figures, 9000, 1000);
    assert.match(svg, />1 n1 &#60;killed&#62;</);
    assert.equal(svg.match(/class="band kill"/g)?.length, 1);
    assert.doesNotMatch(svg, /NaN|undefined|Infinity/);
    assert.doesNotMatch(chartOf(figuresOf([], [], 10_000), 9000, 1000), /NaN|undefined|Infinity/);
  });
});
