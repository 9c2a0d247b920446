/** Settings of the autoscaler, right and wrong, and the lines in which it tells what it does. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Controller } from '../../../../src/autoscale/controller.ts';
import { AUTOSCALE_DEFAULTS } from '../../../../src/autoscale/settings.ts';
import { decisionLine, deedLine } from '../../../../src/main/autoscale/decision-lines.ts';
import { AUTOSCALE_SETTINGS, loadAutoscale } from '../../../../src/main/autoscale/settings.ts';
import { busyThree } from '../../../support/observation.ts';

describe('settings of the autoscaler', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-autoscale-'));
  after(() => rmSync(directory, { recursive: true, force: true }));

  const load = (
    flags: Record<string, string>,
    environment: Record<string, string> = {},
    text?: string,
  ): ReturnType<typeof loadAutoscale> => {
    const file = text === undefined ? '' : join(directory, 'a.yaml');
    if (text !== undefined) writeFileSync(file, text);
    return loadAutoscale({ file, flags: new Map(Object.entries(flags)), environment });
  };

  test('defaults, and what counts before what', () => {
    assert.deepEqual(load({}).config, { ...AUTOSCALE_DEFAULTS, intervalMs: 5000 });
    const text = 'nodesMax: 20\ncoolDownMs: 30s\ngrowAfterMs: 2m\n';
    const { config } = load(
      { 'nodes-max': '12', 'target-disk': '10GiB', 'target-p99': '20ms' },
      { DURE_AUTOSCALE_NODES_MAX: '15', DURE_AUTOSCALE_COOL_DOWN: '45s' },
      text,
    );
    assert.deepEqual(
      { ...config },
      {
        ...AUTOSCALE_DEFAULTS,
        intervalMs: 5000,
        nodesMax: 12,
        diskTargetBytes: 10 * 1024 ** 3,
        p99TargetMs: 20,
        coolDownMs: 45_000,
        growAfterMs: 120_000,
      },
    );
  });

  test('all problems are told at once, each with its place', () => {
    const { config, problems } = load(
      { 'nodes-min': 'three' },
      { DURE_AUTOSCALE_SHRINK_BELOW: '2' },
      'nodesMix: 3\nintervalMs: soon\n',
    );
    assert.equal(config, undefined);
    assert.deepEqual(
      problems.map(({ where }) => where.replace(directory, '')),
      ['/a.yaml nodesMix', '/a.yaml intervalMs', '--nodes-min', 'DURE_AUTOSCALE_SHRINK_BELOW'],
    );
    assert.match(problems[0]!.message, /did you mean "nodesMin"/);
    assert.match(problems[2]!.message, /expected a whole number from 1 to 100; found "three"/);
    assert.match(load({ 'nodes-min': '10' }).problems[0]!.message, /floor is above the ceiling/);
    assert.match(load({}, {}, '- 1\n').problems[0]!.message, /expected settings/);
    assert.match(
      loadAutoscale({ file: join(directory, 'none'), flags: new Map(), environment: {} }).problems[0]!
        .message,
      /no such file/,
    );
  });

  test('every setting has a flag and a variable of its own', () => {
    assert.equal(new Set(AUTOSCALE_SETTINGS.map(({ flag }) => flag)).size, AUTOSCALE_SETTINGS.length);
    const cool = AUTOSCALE_SETTINGS.find(({ name }) => name === 'coolDownMs')!;
    assert.deepEqual(
      [cool.flag, cool.variable, cool.fallback],
      ['cool-down', 'DURE_AUTOSCALE_COOL_DOWN', '5m'],
    );
  });
});

describe('lines of the autoscaler', () => {
  const decision = new Controller({ ...AUTOSCALE_DEFAULTS, growAfterMs: 0 }).observe(0, busyThree);
  const at = Date.UTC(2026, 10, 21, 12);

  test('for people', () => {
    assert.equal(
      decisionLine(decision, { json: false, dryRun: true, at }),
      '2026-11-21T12:00:00.000Z grow (dry run): 0.90 cores a node on 3 nodes, above the target of 0.70 cores for 0ms [0.90 cores (129 %)]\n',
    );
    const line = (deed: Parameters<typeof deedLine>[0]): string =>
      deedLine(deed, { json: false, dryRun: false, at }).slice(25);
    assert.equal(line({ action: 'add', node: 'n4', error: '' }), 'n4 was asked for\n');
    assert.equal(line({ action: 'add', node: '', error: 'no' }), 'add failed: no\n');
    assert.equal(line({ action: 'leave', node: 'n4', error: 'no' }), 'leave n4 failed: no\n');
  });

  test('for programs', () => {
    const { reason, ...line } = JSON.parse(decisionLine(decision, { json: true, dryRun: false, at })) as {
      reason: string;
    };
    assert.equal(reason, decision.reason);
    assert.deepEqual(line, {
      time: '2026-11-21T12:00:00.000Z',
      event: 'autoscale-decision',
      action: 'grow',
      code: 'load',
      node: '',
      dryRun: false,
      nodes: 3,
      epoch: 1,
      measures: { cpu: { value: 0.9, target: 0.7, told: 3, ratio: 1.285714, ratioOneLess: 1.928571 } },
    });
    assert.deepEqual(
      JSON.parse(deedLine({ action: 'remove', node: 'n4', error: '' }, { json: true, dryRun: false, at })),
      {
        time: '2026-11-21T12:00:00.000Z',
        event: 'autoscale-deed',
        action: 'remove',
        node: 'n4',
        error: '',
      },
    );
  });
});
