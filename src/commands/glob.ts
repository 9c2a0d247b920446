/**
 * Glob patterns of KEYS and SCAN: `*`, `?`, `[a-z]`, `[^a]`, `\x`, with the oddities of Redis'
 * `stringmatchlen` (util.c): an unclosed `[` ends with the pattern, `[z-a]` is `[a-z]`, bytes in a range
 * are compared as signed chars.
 *
 * It only ever goes back to the last `*`: what an earlier one could still give, the last one gives too. So
 * it needs no recursion, and time at most the product of the two lengths.
 */

import type { ByteString } from '../base/bytes.ts';

/** Longer patterns are refused: time grows with their length for every key looked at. */
export const PATTERN_CHARS_MAX = 1024;

const star = 0x2a;
const question = 0x3f;
const open = 0x5b;
const close = 0x5d;
const caret = 0x5e;
const dash = 0x2d;
const backslash = 0x5c;

/** Whether a pattern matches every text, so that nothing need be compared. */
export function matchesAll(pattern: ByteString): boolean {
  return pattern === '*';
}

/** Whether the whole text matches the pattern. */
export function matchesGlob(pattern: ByteString, text: ByteString): boolean {
  if (text === '') return pattern === '';
  let at = 0;
  let position = 0;
  let starAt = -1;
  let starPosition = 0;
  while (position < text.length) {
    if (at < pattern.length && pattern.charCodeAt(at) === star) {
      starAt = ++at;
      starPosition = position;
      if (at === pattern.length) return true;
      continue;
    }
    const next = at < pattern.length ? matchOne(pattern, at, text.charCodeAt(position)) : -1;
    if (next >= 0) {
      at = next;
      position++;
      continue;
    }
    if (starAt < 0) return false;
    at = starAt;
    position = ++starPosition;
  }
  while (at < pattern.length && pattern.charCodeAt(at) === star) at++;
  return at === pattern.length;
}

/** Where the pattern goes on if what stands at `at` matches the char, else -1. */
function matchOne(pattern: ByteString, at: number, char: number): number {
  const first = pattern.charCodeAt(at);
  if (first === question) return at + 1;
  if (first === open) return matchSet(pattern, at + 1, char);
  const from = first === backslash && at + 1 < pattern.length ? at + 1 : at;
  return pattern.charCodeAt(from) === char ? from + 1 : -1;
}

function matchSet(pattern: ByteString, start: number, char: number): number {
  const negated = pattern.charCodeAt(start) === caret;
  let at = negated ? start + 1 : start;
  let found = false;
  while (at < pattern.length) {
    const code = pattern.charCodeAt(at);
    if (code === backslash && at + 1 < pattern.length) {
      at++;
      if (pattern.charCodeAt(at) === char) found = true;
    } else if (code === close) {
      at++;
      return found !== negated ? at : -1;
    } else if (pattern.charCodeAt(at + 1) === dash && at + 2 < pattern.length) {
      if (isWithin(code, pattern.charCodeAt(at + 2), char)) found = true;
      at += 2;
    } else if (code === char) found = true;
    at++;
  }
  return found !== negated ? at : -1;
}

function isWithin(a: number, b: number, char: number): boolean {
  const from = signed(a);
  const to = signed(b);
  const value = signed(char);
  return value >= Math.min(from, to) && value <= Math.max(from, to);
}

function signed(byte: number): number {
  return byte < 0x80 ? byte : byte - 0x100;
}
