/** Phi-accrual: what it makes of rhythms, bursts, pauses and silence. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Phi, phiOf } from '../../../src/membership/phi.ts';

const options = { intervalMs: 200, deviationMinMs: 800 / 5.2, window: 16 };

function regular(everyMs: number, count: number): { phi: Phi; at: number } {
  const phi = new Phi(options, 0);
  let at = 0;
  for (let i = 0; i < count; i++) {
    at += everyMs;
    phi.heard(at);
  }
  return { phi, at };
}

test('phi is -log10 of the tail of the normal distribution', () => {
  // Tables of the normal distribution: 1 - F(y).
  for (const [y, tail] of [
    [0, 0.5],
    [1, 0.158655],
    [2, 0.02275],
    [3, 0.00135],
    [5.2, 1e-7],
  ] as const) {
    const want = -Math.log10(tail);
    assert.ok(Math.abs(phiOf(y) - want) < 0.05 * want + 0.05 + (y > 4 ? 1.1 : 0), `phi of ${y}`);
  }
  assert.ok(phiOf(-10) < 1e-6);
  assert.ok(Number.isFinite(phiOf(1e6)));
});

test('with heartbeats of 200 ms phi passes 8 after about a second of silence, and rises on', () => {
  const { phi, at } = regular(200, 50);
  assert.equal(phi.phi(at), 0);
  assert.ok(phi.phi(at + 850) < 8);
  assert.ok(phi.phi(at + 1050) >= 8);
  assert.ok(phi.phi(at + 2000) > phi.phi(at + 1050));
});

test('a slower, less regular peer is given more time', () => {
  const slow = regular(800, 50);
  assert.ok(slow.phi.phi(slow.at + 1400) < 8);
  assert.ok(slow.phi.phi(slow.at + 1700) >= 8);
  const phi = new Phi(options, 0);
  let at = 0;
  for (let i = 0; i < 50; i++) {
    at += i % 2 === 0 ? 200 : 1400;
    phi.heard(at);
  }
  assert.ok(phi.phi(at + 2000) < 8);
});

test('the window forgets: after a slow hour a quick minute counts', () => {
  const { phi, at } = regular(2000, 100);
  let now = at;
  for (let i = 0; i < 16; i++) {
    now += 200;
    phi.heard(now);
  }
  assert.ok(Math.abs(phi.meanMs - 200) < 1e-6);
  assert.ok(phi.phi(now + 1050) >= 8);
});

test('a burst of signs ends the silence and says nothing about the rhythm', () => {
  const { phi, at } = regular(200, 50);
  for (let i = 1; i <= 1000; i++) phi.heard(at + i * 0.05);
  assert.ok(Math.abs(phi.meanMs - 200) < 1);
  assert.ok(phi.phi(at + 50 + 850) < 8);
  assert.ok(phi.phi(at + 50 + 1050) >= 8);
});

test('a pause of our own is not their silence, nor part of the rhythm', () => {
  const { phi, at } = regular(200, 50);
  phi.excuse(5000, at + 5000);
  assert.equal(phi.phi(at + 5100), 0);
  phi.heard(at + 5150);
  assert.ok(phi.meanMs < 210);
});

test('a sterner rhythm makes no silence strange that was usual; what is remembered counts on', () => {
  const { phi, at } = regular(200, 50);
  phi.adapt({ ...options, intervalMs: 1000, deviationMinMs: 400 }, at + 900);
  assert.ok(phi.phi(at + 900) < 1);
  const before = phi.phi(at + 1500);
  phi.adapt(options, at + 1500);
  assert.ok(before < 8);
  assert.equal(phi.phi(at + 1500), 0);
  assert.ok(phi.phi(at + 1500 + 850) < 8);
  assert.ok(phi.phi(at + 1500 + 1050) >= 8, 'silence counts from the change on');
  assert.ok(Math.abs(phi.meanMs - 200) < 1e-6, 'the window is kept');
});
