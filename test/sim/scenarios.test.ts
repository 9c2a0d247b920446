/** Tells every story of `test/scenarios`, and some wrong ones that must be noticed. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { runScenario, ScenarioError } from '../../sim/scenario.ts';

const folder = new URL('../scenarios/', import.meta.url);

describe('scenarios', () => {
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  assert.ok(names.length >= 8);
  for (const name of names) {
    it(name.replace('.txt', ''), () => {
      runScenario(readFileSync(new URL(name, folder), 'utf8'));
    });
  }

  it('fails a story that goes otherwise than told', () => {
    const story = 'nodes 3\nwrite k v1 at a -> ok\n';
    for (const wrong of [
      'read k at b -> v2',
      'expect a holds k v9',
      'write k v2 at a -> fail',
      'expect a writes 5',
      'crash c\nwrite k v2 at a -> ok\nexpect replicas equal',
      'rot b k 99\nexpect b holds k v1',
      'within 1s c holds k v2',
      'expect hints 1',
      'expect a forgot k',
      'expect a hints 1',
      'expect a misses b',
      'expect epoch 2',
      'expect phase copy',
      'expect members a+b',
      'expect a disowns k',
      'expect c gone',
      'join c at a -> fail',
      'lose c\nexpect steady',
    ]) {
      assert.throws(() => runScenario(story + wrong), ScenarioError, wrong);
    }
  });

  it('names the line of what is not in the language', () => {
    for (const wrong of [
      'frobnicate a',
      'cut a z',
      'advance 5',
      'write k v -> ok',
      'disk a wet',
      'await x -> ok',
      'drop a > b much',
      'restore a',
      'rot a k',
      'busy a 5',
      'join z at a -> ok',
      'lose z',
      'expect z owns k',
    ]) {
      assert.throws(() => runScenario(`nodes 2\n\n${wrong}`), /line 3/, wrong);
    }
  });

  it('goes otherwise under a mutant', () => {
    const story = (name: string) => readFileSync(new URL(`${name}.txt`, folder), 'utf8');
    for (const [name, mutant] of [
      ['read-repair', 'repair-skipped'],
      ['flush-is-final', 'floor-forgotten'],
      ['clock-skew', 'write-without-learning'],
      ['straggler', 'straggler-taken'],
      ['hint-floor-survives-restart', 'hint-floor-forgotten'],
      ['damaged-hint', 'unreadable-hint-dropped'],
      ['siblings-after-restored-copy', 'sibling-not-noted'],
      ['siblings-written-aside', 'sibling-actor-unproved'],
      ['siblings-of-an-old-copy', 'sibling-settled-returns'],
      ['write-under-way', 'flight-not-replanned'],
      ['one-page-behind', 'read-old-owners'],
      ['stray-comes-late', 'stray-dropped-early'],
      ['hints-of-gone', 'hint-of-gone-dropped'],
      ['most-are-lost', 'epoch-majority-of-next'],
      ['last-page-copied-late', 'leaver-goes-at-once'],
    ] as const) {
      assert.throws(() => runScenario(story(name), undefined, new Set([mutant])), ScenarioError, mutant);
    }
  });
});
