/** When the controller grows, shrinks and holds: targets, hysteresis, cool-down, floor and ceiling, over made-up loads. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Controller } from '../../../src/autoscale/controller.ts';
import { DecisionLog } from '../../../src/autoscale/decision-log.ts';
import { leaverOf, type NodeLoad, type Observation } from '../../../src/autoscale/load.ts';
import {
  AUTOSCALE_DEFAULTS,
  type AutoscaleSettings,
  settingsProblems,
} from '../../../src/autoscale/settings.ts';

const settings: AutoscaleSettings = {
  ...AUTOSCALE_DEFAULTS,
  nodesMin: 3,
  nodesMax: 6,
  operationsTarget: 1000,
  cpuTarget: 0,
  growAfterMs: 30,
  shrinkAfterMs: 100,
  coolDownMs: 200,
};

function load(id: string, operations: number | undefined, more: Partial<NodeLoad> = {}): NodeLoad {
  return { id, zone: 'default', operations, cpu: 0, p99Ms: 0, diskBytes: 0, ...more };
}

/** `count` nodes that share `operations`. */
function seen(count: number, operations: number, more: Partial<Observation> = {}): Observation {
  const nodes = Array.from({ length: count }, (_, i) => load(`n${i + 1}`, operations / count));
  return {
    epoch: 1,
    nodes,
    replicas: 3,
    underWay: '',
    progress: '',
    obstacle: '',
    removable: nodes.map(({ id }) => id),
    ...more,
  };
}

/** Observes every `stepMs` from `from` to `to` (excluded); the decisions other than to hold. */
function run(
  controller: Controller,
  from: number,
  to: number,
  observation: Observation,
  stepMs = 10,
): string[] {
  const acts: string[] = [];
  for (let now = from; now < to; now += stepMs) {
    const { action, node } = controller.observe(now, observation);
    if (action !== 'hold') acts.push(`${now} ${action}${node === '' ? '' : ` ${node}`}`);
  }
  return acts;
}

describe('the controller', () => {
  test('grows when a target has been exceeded for long enough, once a cool-down', () => {
    const controller = new Controller(settings);
    assert.deepEqual(run(controller, 0, 100, seen(3, 2900)), []);
    assert.equal(controller.log.entries.at(-1)!.code, 'in-band');
    assert.deepEqual(run(controller, 100, 200, seen(3, 4000)), ['130 grow']);
    const grown = controller.log.entries.find(({ action }) => action === 'grow')!;
    assert.match(
      grown.reason,
      /^1,333 operations\/s a node on 3 nodes, above the target of 1,000 operations\/s for 30ms$/,
    );
    // The change begins, and ends at 300: the next one is decided 200 later, not 200 after the decision.
    const underWay = seen(3, 4000, { epoch: 2, underWay: 'join of n4' });
    assert.deepEqual(run(controller, 200, 300, underWay), []);
    assert.deepEqual(run(controller, 300, 560, seen(4, 4800, { epoch: 4 })), ['500 grow']);
  });

  test('one sample within the target begins the wait anew', () => {
    const controller = new Controller(settings);
    run(controller, 0, 30, seen(3, 4000));
    run(controller, 30, 40, seen(3, 3000));
    assert.deepEqual(run(controller, 40, 100, seen(3, 4000)), ['70 grow']);
  });

  test('shrinks only if the others would stay below the lower share of the target', () => {
    const controller = new Controller(settings);
    // 2,800 on 4 nodes are 700 each; on 3 they would be 933, above 70 % of the target.
    assert.deepEqual(run(controller, 0, 400, seen(4, 2800)), []);
    // 2,000 on 3 would be 667.
    assert.deepEqual(run(controller, 400, 600, seen(4, 2000)), ['500 shrink n4']);
    const shrunk = controller.log.entries.find(({ action }) => action === 'shrink')!;
    assert.match(
      shrunk.reason,
      /500 operations\/s a node on 4 nodes; with one less at most 66 % of a target/,
    );
  });

  test('floor and ceiling, and never fewer nodes than copies', () => {
    const top = new Controller(settings);
    assert.deepEqual(run(top, 0, 400, seen(6, 60_000)), []);
    assert.equal(top.log.entries.at(-1)!.code, 'at-ceiling');
    const bottom = new Controller(settings);
    assert.deepEqual(run(bottom, 0, 400, seen(3, 0)), []);
    assert.match(bottom.log.entries.at(-1)!.reason, /3 nodes, and they are the floor/);
    const copies = new Controller({ ...settings, nodesMin: 1 });
    assert.deepEqual(run(copies, 0, 400, seen(3, 0)), []);
    assert.match(copies.log.entries.at(-1)!.reason, /3 copies of each row need as many/);
    const few = new Controller({ ...settings, nodesMin: 4 });
    assert.deepEqual(run(few, 0, 20, seen(3, 0)), ['0 grow']);
  });

  test('after a restart it waits for a cool-down, unless there was never a change', () => {
    const fresh = new Controller(settings);
    assert.deepEqual(run(fresh, 0, 40, seen(3, 4000)), ['30 grow']);
    const restarted = new Controller(settings);
    assert.deepEqual(run(restarted, 0, 250, seen(3, 4000, { epoch: 4 })), ['200 grow']);
  });

  test('a change by somebody else begins a cool-down too', () => {
    const controller = new Controller(settings);
    run(controller, 0, 20, seen(3, 3000));
    assert.deepEqual(run(controller, 20, 300, seen(3, 4000, { epoch: 4 })), ['220 grow']);
  });

  test('what was seen before and during a change counts for nothing after it', () => {
    const controller = new Controller({ ...settings, growAfterMs: 100, coolDownMs: 10 });
    assert.deepEqual(run(controller, 0, 90, seen(3, 4000)), []);
    assert.deepEqual(run(controller, 90, 200, seen(3, 4000, { epoch: 2, underWay: 'weight of n1' })), []);
    assert.deepEqual(run(controller, 200, 320, seen(3, 4000, { epoch: 4 })), ['300 grow']);
  });

  test('a node that tells nothing: no shrinking; most of them: nothing at all', () => {
    const silent = seen(4, 0);
    const nodes = [...silent.nodes.slice(0, 3), load('n4', undefined)];
    const controller = new Controller(settings);
    assert.deepEqual(run(controller, 0, 400, { ...silent, nodes }), []);
    assert.equal(controller.log.entries.at(-1)!.code, 'samples-missing');
    assert.match(controller.log.entries.at(-1)!.reason, /operations from 3 of 4/);
    const dark = new Controller(settings);
    const two = [load('n1', 9000), load('n2', 9000), load('n3', undefined), load('n4', undefined)];
    assert.deepEqual(run(dark, 0, 400, { ...silent, nodes: two }), []);
    assert.equal(dark.log.entries.at(-1)!.code, 'unknown');
    // Three of four that are overloaded are enough to grow.
    const three = [load('n1', 9000), load('n2', 9000), load('n3', 9000), load('n4', undefined)];
    assert.deepEqual(run(new Controller(settings), 0, 40, { ...silent, nodes: three }), ['30 grow']);
  });

  test('an unknown topology and an obstacle: nothing', () => {
    const controller = new Controller(settings);
    assert.deepEqual(run(controller, 0, 200, seen(3, 9000, { epoch: undefined })), []);
    assert.equal(controller.log.entries.at(-1)!.code, 'unknown');
    assert.deepEqual(run(controller, 200, 400, seen(3, 9000, { obstacle: 'n2 is away' })), []);
    assert.match(controller.log.entries.at(-1)!.reason, /^n2 is away$/);
    assert.deepEqual(run(controller, 400, 450, seen(3, 9000)), ['430 grow']);
  });

  test('what could not be begun is tried again, after a while', () => {
    const controller = new Controller(settings);
    run(controller, 0, 40, seen(3, 9000));
    controller.failed(40, 'the API server answered 503');
    assert.deepEqual(run(controller, 40, 400, seen(3, 9000)), ['240 grow']);
    assert.ok(controller.log.entries.some(({ code, reason }) => code === 'failed' && /503/.test(reason)));
  });

  test('every measure counts: CPU as a mean, p99 of the node in the middle, the fullest disk', () => {
    const all = { ...settings, operationsTarget: 0, cpuTarget: 0.5, p99TargetMs: 10, diskTargetBytes: 1000 };
    const codeOf = (nodes: readonly NodeLoad[]): string => {
      const controller = new Controller(all);
      const observation = { ...seen(nodes.length, 0), nodes };
      run(controller, 0, 200, observation);
      const last = controller.log.entries.find(({ action }) => action !== 'hold');
      return last === undefined ? controller.log.entries.at(-1)!.code : `${last.action}: ${last.reason}`;
    };
    const idle = { cpu: 0.4, p99Ms: 8, diskBytes: 800 };
    const four = ['n1', 'n2', 'n3', 'n4'].map((id) => load(id, 0, idle));
    const changed = (first: Partial<NodeLoad>, others: Partial<NodeLoad> = {}): NodeLoad[] =>
      four.map((node, i) => ({ ...node, ...(i === 0 ? first : others) }));
    assert.equal(codeOf(four), 'in-band');
    assert.match(codeOf(changed({ cpu: 0.9 })), /grow: 0\.53 cores a node/);
    // One slow node is not mended by another node.
    assert.equal(codeOf(changed({ p99Ms: 500 })), 'in-band');
    assert.match(codeOf(changed({}, { p99Ms: 12 })), /grow: p99 12 ms a node/);
    assert.match(codeOf(changed({ diskBytes: 1001 })), /grow: 1\.0 KiB stored a node/);
    // All of them must be low for a node to go: here latency is not.
    assert.equal(codeOf(changed({ cpu: 0, diskBytes: 0 }, { cpu: 0, diskBytes: 0 })), 'in-band');
    assert.match(
      codeOf(changed({ cpu: 0, diskBytes: 0, p99Ms: 1 }, { cpu: 0, diskBytes: 0, p99Ms: 1 })),
      /^shrink: /,
    );
  });

  test('gives away the last of the largest zone', () => {
    const zones = ['a', 'b', 'a', 'b', 'a', 'c'];
    const nodes = zones.map((zone, i) => load(`n${i + 1}`, 0, { zone }));
    const observation = { ...seen(6, 0), nodes };
    const of = (...removable: string[]): string | undefined => leaverOf({ ...observation, removable });
    assert.equal(of('n1', 'n2', 'n3', 'n4', 'n5', 'n6'), 'n5');
    assert.equal(of('n1', 'n2', 'n4', 'n6'), 'n1');
    assert.equal(of('n6'), 'n6');
    assert.equal(of('somebody else'), undefined);
    const controller = new Controller(settings);
    run(controller, 0, 400, { ...observation, removable: [] });
    assert.equal(controller.log.entries.at(-1)!.code, 'none-removable');
  });

  test('the log takes each change of mind down once, and is bounded', () => {
    const controller = new Controller(settings);
    run(controller, 0, 20_000, seen(3, 2900));
    assert.equal(controller.log.entries.length, 1);
    const log = new DecisionLog(3);
    const decision = controller.log.entries[0]!;
    for (let at = 0; at < 10; at++) log.add({ ...decision, at }, String(at));
    assert.deepEqual(
      log.entries.map(({ at }) => at),
      [7, 8, 9],
    );
    assert.equal(log.add({ ...decision, at: 10 }, '9'), false);
  });

  test('settings that cannot be meant are told', () => {
    assert.deepEqual(settingsProblems(AUTOSCALE_DEFAULTS), []);
    assert.match(settingsProblems({ ...AUTOSCALE_DEFAULTS, nodesMin: 10 })[0]!, /floor is above the ceiling/);
    assert.match(settingsProblems({ ...AUTOSCALE_DEFAULTS, cpuTarget: 0 })[0]!, /no target/);
    assert.match(settingsProblems({ ...AUTOSCALE_DEFAULTS, shrinkBelow: 1 })[0]!, /between 0 and 1/);
  });
});
