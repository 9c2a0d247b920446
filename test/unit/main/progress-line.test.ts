/** The line that says how far something is, on a terminal and in a file. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bar, ProgressLine } from '../../../src/main/progress-line.ts';

function output(isTTY: boolean, columns?: number): { readonly texts: string[]; readonly line: ProgressLine } {
  const texts: string[] = [];
  const write = (text: string): boolean => texts.push(text) > 0;
  return { texts, line: new ProgressLine({ write, isTTY, ...(columns === undefined ? {} : { columns }) }) };
}

test('on a terminal it is drawn over, whole, and never wider than the terminal', () => {
  const { texts, line } = output(true, 11);
  line.show('a long line of text');
  line.show('short');
  line.clear();
  line.clear();
  assert.deepEqual(texts, ['\ra long lin', '\rshort     ', `\r${' '.repeat(5)}\r`]);
});

test('in a file the first line is there at once, the next only after a while or if it is news', () => {
  const { texts, line } = output(false);
  line.show('one');
  line.show('two');
  line.show('three', true);
  line.clear();
  assert.deepEqual(texts, ['one\n', 'three\n']);
});

test('the bar is as full as the share', () => {
  assert.equal(bar(0), `[${'─'.repeat(24)}]`);
  assert.equal(bar(0.5), `[${'█'.repeat(12)}${'─'.repeat(12)}]`);
  assert.equal(bar(1), `[${'█'.repeat(24)}]`);
});
