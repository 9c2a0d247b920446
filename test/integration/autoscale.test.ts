/**
 * A load that triples and falls back, on real processes: `dure dev --autoscale` takes three nodes to six and back to
 * three, one change at a time with a cool-down after each, and loses no acknowledged write on the way. The run is
 * drawn as a chart: `DURE_CHART=docs/autoscaling.svg` says where to; else it lies beside the other temporary files.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TopologyAnswer } from '../../src/http/api/topology-json.ts';
import { httpCall, wholeText } from '../../src/main/http-call.ts';
import { OpenLoop } from '../support/open-loop.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, Started } from '../support/process.ts';
import { type ScaleChange, type ScalePoint, scaleChart } from '../support/scale-chart.ts';
import { delay, until } from '../support/wait.ts';

/** Operations a second a node. */
const target = 150;
/** Of all clients: three nodes carry it at 62 % of the target (70 % would keep a fourth); three times as much is 112 % of five. */
const calmRate = 280;
const busyRate = 3 * calmRate;
const coolDownMs = 3000;
const intervalMs = 500;
const lookMs = 200;
/** The rate in the chart is that over so many looks. */
const averagedLooks = 6;
/** Three changes one after the other, on a machine that has much else to do. */
const changesMs = 100_000;

/** Watches the topology from outside, so that the autoscaler is not its own witness. */
class Witness {
  readonly points: ScalePoint[] = [];
  readonly changes: ScaleChange[] = [];
  readonly #httpPort: number;
  readonly #load: OpenLoop;
  readonly #origin = performance.now();
  readonly #ended: Promise<void>;
  #isOver = false;
  #began: { at: number; kind: string; node: string } | undefined;
  readonly #answered: { at: number; count: number }[] = [];

  constructor(httpPort: number, load: OpenLoop) {
    this.#httpPort = httpPort;
    this.#load = load;
    this.#ended = this.#watch();
  }

  get nodes(): number {
    return this.points.at(-1)?.nodes ?? 0;
  }

  end(): Promise<void> {
    this.#isOver = true;
    return this.#ended;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      await delay(lookMs);
      try {
        const answer = await httpCall(`127.0.0.1:${this.#httpPort}`, '/v1/topology', { timeoutMs: 1000 });
        this.#note(JSON.parse(await wholeText(answer)) as TopologyAnswer);
      } catch {
        // A look that is missed shows in the chart as a longer step.
      }
    }
  }

  #note({ phase, change, members }: TopologyAnswer): void {
    const at = performance.now() - this.#origin;
    if (phase !== 'steady' && this.#began === undefined) {
      this.#began = { at, kind: change!.kind, node: change!.nodes.join() };
    } else if (phase === 'steady' && this.#began !== undefined) {
      const { at: beganAt, kind, node } = this.#began;
      this.changes.push({ kind, node, beganAt, endedAt: at });
      this.#began = undefined;
    }
    const nodes = members.filter(({ state }) => state === 'owning' || state === 'leaving').length;
    this.#answered.push({ at, count: this.#load.answered });
    if (this.#answered.length > averagedLooks) this.#answered.shift();
    const [first] = this.#answered;
    const operations = ((this.#load.answered - first!.count) / Math.max(1, at - first!.at)) * 1000;
    this.points.push({ at, nodes, operations });
  }
}

interface DecisionLine {
  readonly event: string;
  readonly action: string;
  readonly node: string;
}

/** The decisions to change, as the autoscaler wrote them among the logs of the nodes. */
function decisionsIn(output: string): string[] {
  return output
    .split('\n')
    .filter((line) => line.includes('"autoscale-decision"'))
    .map((line) => JSON.parse(line) as DecisionLine)
    .filter(({ action }) => action !== 'hold')
    .map(({ action, node }) => `${action} ${node}`.trim());
}

test('a load that triples and falls back takes three nodes to six and back, without flapping', {
  timeout: 235_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-autoscale-'));
  const port = await freePortBase(6);
  const own = ['--port', `${port}`, '--data-dir', directory, '--log-format', 'json', '--log-level', 'warn'];
  const targets = [
    '--target-operations',
    `${target}`,
    '--target-cpu',
    '0',
    '--nodes-min',
    '3',
    '--nodes-max',
    '6',
  ];
  const times = ['--grow-after', '1500ms', '--shrink-after', '2s', '--cool-down', `${coolDownMs}ms`];
  const interval = ['--interval', `${intervalMs}ms`];
  const dev = new Started([...DURE, 'dev', '--autoscale', ...own, ...targets, ...times, ...interval]);
  let load: OpenLoop | undefined;
  let witness: Witness | undefined;
  try {
    await dev.says(/Stop: {2}Ctrl-C/, 60_000);
    load = new OpenLoop([port, port + 1, port + 2]);
    witness = new Witness(port + 2000, load);
    load.rate = calmRate;
    await delay(8000);
    assert.equal(witness.nodes, 3, 'three nodes are enough before the load rises');
    load.rate = busyRate;
    await until(
      () => witness!.nodes === 6,
      () => `six nodes: ${dev.stderr}${told(dev)}`,
      changesMs,
    );
    // Long enough to flap, if it did.
    await delay(coolDownMs + 4000);
    load.rate = calmRate;
    await until(
      () => witness!.nodes === 3,
      () => `three nodes: ${dev.stderr}${told(dev)}`,
      changesMs,
    );
    await delay(coolDownMs + 4000);
    await load.end();
    await witness.end();
    judge(dev.stdout, witness, load);
    assert.equal(await load.lost(), 0, 'acknowledged writes that cannot be read');
  } finally {
    await witness?.end();
    load?.close();
    await dev.end('SIGTERM');
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  }
});

function told(dev: Started): string {
  return dev.stdout
    .split('\n')
    .filter((line) => line.includes('"autoscale-'))
    .slice(-8)
    .join('\n');
}

function judge(output: string, { points, changes }: Witness, load: OpenLoop): void {
  const file = process.env.DURE_CHART ?? join(tmpdir(), 'dure-autoscale.svg');
  writeFileSync(file, scaleChart({ points, changes, target, coolDownMs }));
  const seconds = (points.at(-1)!.at / 1000).toFixed(0);
  const { sent, answered, failures, unsent } = load;
  const told = `${sent} requests in ${seconds} s, ${answered} answered, ${failures.length} failed, ${unsent} not sent`;
  const kinds = Map.groupBy(failures, (failure) => failure);
  const why = [...kinds].map(([failure, { length }]) => `${length} x ${failure}`).join('; ');
  const tookMs = changes.map(({ beganAt, endedAt }) => Math.round(endedAt - beganAt)).join(' ');
  console.log(`autoscale: changes of ${tookMs} ms, ${told}; ${file}\n${why}`);
  assert.deepEqual(decisionsIn(output), ['grow', 'grow', 'grow', 'shrink n6', 'shrink n5', 'shrink n4']);
  assert.deepEqual(
    changes.map(({ kind, node }) => `${kind} ${node}`),
    ['join n4', 'join n5', 'join n6', 'leave n6', 'leave n5', 'leave n4'],
  );
  for (const [i, { beganAt }] of changes.entries()) {
    const before = changes[i - 1]?.endedAt ?? Number.NEGATIVE_INFINITY;
    // Two looks of the witness lie between.
    const pause = beganAt - before;
    assert.ok(pause >= coolDownMs - 2 * lookMs, `change ${i} began ${pause} ms after the one before ended`);
  }
  assert.ok(Math.max(...points.map(({ nodes }) => nodes)) === 6);
}
