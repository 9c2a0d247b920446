/**
 * Laws of the controller, on a make-believe cluster: nodes that share a load, changes that take their time and
 * begin a new epoch, loads of any shape. It never leaves its bounds, never changes twice within a cool-down, and
 * noise within the band never makes it change its mind.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Controller } from '../../src/autoscale/controller.ts';
import type { NodeLoad } from '../../src/autoscale/load.ts';
import { AUTOSCALE_DEFAULTS, type AutoscaleSettings } from '../../src/autoscale/settings.ts';

const target = 1000;
const settings: AutoscaleSettings = {
  ...AUTOSCALE_DEFAULTS,
  nodesMin: 3,
  nodesMax: 8,
  operationsTarget: target,
  cpuTarget: 0,
  growAfterMs: 20_000,
  shrinkAfterMs: 60_000,
  coolDownMs: 30_000,
};
const stepMs = 2000;

interface Change {
  readonly action: 'grow' | 'shrink';
  readonly at: number;
  readonly endedAt: number;
  readonly nodes: number;
}

interface Weather {
  /** Operations a second of all clients, at a time. */
  readonly load: (now: number) => number;
  /** Of a sample, a factor about 1. */
  readonly noise: (now: number, index: number) => number;
  /** Whether a node tells nothing this time. */
  readonly silent: (now: number, index: number) => boolean;
  readonly changeMs: number;
  /** 3 if left out. */
  readonly replicas?: number;
}

type Host = Pick<Controller, 'observe' | 'failed'>;

/** Runs the cluster for a while. @returns the changes and the number of nodes over time. */
function live(
  controller: Host,
  weather: Weather,
  durationMs: number,
): { changes: Change[]; sizes: number[] } {
  const changes: Change[] = [];
  const sizes: number[] = [];
  let count = 3;
  let epoch = 1;
  let busyUntil = -1;
  for (let now = 0; now < durationMs; now += stepMs) {
    if (busyUntil >= 0 && now >= busyUntil) {
      const { action } = changes.at(-1)!;
      count += action === 'grow' ? 1 : -1;
      epoch += 2;
      busyUntil = -1;
    }
    sizes.push(count);
    const nodes = Array.from({ length: count }, (_, i): NodeLoad => {
      const operations = weather.silent(now, i)
        ? undefined
        : (weather.load(now) / count) * weather.noise(now, i);
      return {
        id: `n${i + 1}`,
        zone: 'z',
        operations,
        cpu: undefined,
        p99Ms: undefined,
        diskBytes: undefined,
      };
    });
    const { action } = controller.observe(now, {
      epoch,
      nodes,
      replicas: weather.replicas ?? 3,
      underWay: busyUntil >= 0 ? 'a change' : '',
      progress: '',
      obstacle: '',
      removable: nodes.map(({ id }) => id),
    });
    if (action === 'hold') continue;
    assert.equal(busyUntil, -1, 'a change was asked for while one was under way');
    epoch++;
    busyUntil = now + weather.changeMs;
    changes.push({ action, at: now, endedAt: busyUntil, nodes: count });
  }
  return { changes, sizes };
}

const calm: Weather = { load: () => 2500, noise: () => 1, silent: () => false, changeMs: 8000 };

/** A function of time and node that looks like chance, the same for a seed. */
function chance(seed: number, now: number, index: number): number {
  let x = (seed ^ Math.imul(now + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}

function assertPatient(changes: readonly Change[]): void {
  for (let i = 1; i < changes.length; i++) {
    const pause = changes[i]!.at - changes[i - 1]!.endedAt;
    assert.ok(pause >= settings.coolDownMs, `change ${i} came ${pause} ms after the end of the one before`);
  }
}

test('a load that triples and falls back takes 3 nodes to 6 and back to 3, one at a time', () => {
  const load = (now: number): number => (now < 100_000 || now >= 700_000 ? 1900 : 5700);
  const { changes, sizes } = live(new Controller(settings), { ...calm, load }, 1_600_000);
  assert.deepEqual(
    changes.map(({ action }) => action),
    ['grow', 'grow', 'grow', 'shrink', 'shrink', 'shrink'],
  );
  assert.equal(Math.max(...sizes), 6);
  assert.equal(sizes.at(-1), 3);
  assertPatient(changes);
});

const weathers = fc.record({
  seed: fc.integer(),
  noiseShare: fc.constantFrom(0, 0.1, 0.5, 1),
  silentShare: fc.constantFrom(0, 0, 0.1, 0.7),
  changeMs: fc.constantFrom(1, 5000, 45_000),
  levels: fc.array(fc.integer({ min: 0, max: 12_000 }), { minLength: 1, maxLength: 8 }),
});

type Drawn = typeof weathers extends fc.Arbitrary<infer T> ? T : never;

const levelMs = 240_000;

function weatherOf({ seed, noiseShare, silentShare, changeMs, levels }: Drawn): Weather {
  return {
    load: (now) => levels[Math.min(levels.length - 1, Math.floor(now / levelMs))]!,
    noise: (now, index) => 1 + noiseShare * (2 * chance(seed, now, index) - 1),
    silent: (now, index) => chance(seed + 1, now, index) < silentShare,
    changeMs,
  };
}

test('whatever the load: within its bounds, and one change a cool-down', () => {
  fc.assert(
    fc.property(weathers, (drawn) => {
      const { changes, sizes } = live(new Controller(settings), weatherOf(drawn), levelMs * 8);
      assertPatient(changes);
      assert.ok(sizes.every((size) => size >= 3 && size <= 8));
    }),
    { numRuns: 60 },
  );
});

/** Noise of `share` about a steady load settles: it grows to where the load belongs, and stays. */
function settles(make: () => Host, total: number, share: number, seed: number): boolean {
  const weather = { ...calm, load: () => total, noise: noiseOf(seed, share) };
  const { changes } = live(make(), weather, 3_000_000);
  return !changes.some(({ action }, i) => i > 0 && action !== changes[0]!.action);
}

function noiseOf(seed: number, share: number): Weather['noise'] {
  return (now, index) => 1 + share * (2 * chance(seed, now, index) - 1);
}

/** As wide as half of the band: the mean of three nodes or more stays within it for certain. */
const noiseShareMax = 0.15;

test('a steady load with noise is never answered by one change and its opposite', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9000 }), fc.integer(), (total, seed) =>
      settles(() => new Controller(settings), total, noiseShareMax, seed),
    ),
    { numRuns: 60 },
  );
});

test('the same law finds a controller without a band, and the one above one without a cool-down', () => {
  const flapping = { ...settings, shrinkBelow: 1.2, growAfterMs: 0, shrinkAfterMs: 0 };
  const found = Array.from({ length: 20 }, (_, seed) =>
    settles(() => new Controller(flapping), 3900, noiseShareMax, seed),
  );
  assert.ok(found.includes(false), 'a controller without a band was not found out');
  const hasty = new Controller({ ...settings, coolDownMs: 0, growAfterMs: 0 });
  const { changes } = live(hasty, { ...calm, load: () => 8000 }, 600_000);
  assert.throws(() => assertPatient(changes));
});

test('samples that are missing are never taken for little load', () => {
  const idle: Weather = { ...calm, load: () => 0, replicas: 1 };
  const alone = { ...settings, nodesMin: 1 };
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const silent: Weather['silent'] = (now, index) => index === Math.floor(chance(seed, now, 0) * 3);
      return live(new Controller(alone), { ...idle, silent }, 600_000).changes.length === 0;
    }),
    { numRuns: 30 },
  );
  // When all of them tell it, there are two too many.
  assert.equal(live(new Controller(alone), idle, 600_000).changes.length, 2);
});
