import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { matchesGlob } from '../../../src/commands/glob.ts';

/** Redis' `stringmatchlen` (util.c, version 7.0), line by line, without its way to skip useless work. */
function redisMatches(pattern: string, text: string): boolean {
  let p = 0;
  let s = 0;
  const signed = (index: number, from: string): number => (from.charCodeAt(index) << 24) >> 24;
  while (p < pattern.length && s < text.length) {
    switch (pattern[p]) {
      case '*':
        while (pattern[p + 1] === '*') p++;
        if (p + 1 === pattern.length) return true;
        for (; s < text.length; s++) if (redisMatches(pattern.slice(p + 1), text.slice(s))) return true;
        return false;
      case '?':
        s++;
        break;
      case '[': {
        p++;
        const not = pattern[p] === '^';
        if (not) p++;
        let match = false;
        for (;;) {
          if (pattern[p] === '\\' && pattern.length - p >= 2) {
            p++;
            if (pattern[p] === text[s]) match = true;
          } else if (pattern[p] === ']') {
            break;
          } else if (p >= pattern.length) {
            p--;
            break;
          } else if (pattern.length - p >= 3 && pattern[p + 1] === '-') {
            const ends = [signed(p, pattern), signed(p + 2, pattern)];
            const c = signed(s, text);
            p += 2;
            if (c >= Math.min(...ends) && c <= Math.max(...ends)) match = true;
          } else if (pattern[p] === text[s]) {
            match = true;
          }
          p++;
        }
        if (match === not) return false;
        s++;
        break;
      }
      default:
        if (pattern[p] === '\\' && pattern.length - p >= 2) p++;
        if (pattern[p] !== text[s]) return false;
        s++;
    }
    p++;
    if (s === text.length) {
      while (pattern[p] === '*') p++;
      break;
    }
  }
  return p >= pattern.length && s === text.length;
}

describe('glob patterns', () => {
  it('match as in Redis, whatever the pattern', () => {
    const pattern = fc.string({ unit: fc.constantFrom(...'ab*?[]^-\\\xe9'), maxLength: 10 });
    const text = fc.string({ unit: fc.constantFrom(...'abc-]\xe9\xf0'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (p, t) => {
        assert.equal(matchesGlob(p, t), redisMatches(p, t), `${JSON.stringify(p)} on ${JSON.stringify(t)}`);
      }),
      { numRuns: 20_000 },
    );
  });

  it('take no more than the product of the lengths', () => {
    const started = performance.now();
    assert.equal(matchesGlob(`${'*a'.repeat(500)}b`, 'a'.repeat(10_000)), false);
    assert.ok(performance.now() - started < 2000);
  });

  it('match the usual ways', () => {
    for (const [pattern, text, expected] of [
      ['user:*', 'user:7', true],
      ['user:*', 'users', false],
      ['h?llo', 'hello', true],
      ['h[ae]llo', 'hillo', false],
      ['h[^e]llo', 'hallo', true],
      ['h[a-b]llo', 'hbllo', true],
      ['a\\*', 'a*', true],
      ['a\\*', 'ab', false],
      ['', '', true],
    ] as const) {
      assert.equal(matchesGlob(pattern, text), expected, `${pattern} on ${text}`);
    }
  });
});
