/**
 * Two minutes of the process nemesis, with a picture: the one long test. `npm run nemesis` runs longer.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { NemesisResult } from '../nemesis/run.ts';
import { Started } from '../support/process.ts';

const main = fileURLToPath(new URL('../nemesis/main.ts', import.meta.url));
const minutes = '1.75';

it('the process nemesis breaks no promise in two minutes', { timeout: 200_000 }, async (test) => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-nemesis-test-'));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  const html = join(directory, 'nemesis.html');
  const json = join(directory, 'nemesis.json');
  const options = ['--minutes', minutes, '--seed', '20', '--html', html, '--json', json];
  const nemesis = new Started([process.execPath, main, ...options]);
  // Should this test be ended, SIGTERM lets the nemesis end its nodes.
  test.signal.addEventListener('abort', () => nemesis.child.kill('SIGTERM'));
  const { code, stdout, stderr } = await nemesis.finished(190_000);
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const { figures, judgement, skipped } = JSON.parse(readFileSync(json, 'utf8')) as NemesisResult;
  for (const line of stdout.split('\n')) if (line.trim() !== '') test.diagnostic(line);
  for (const line of skipped) test.diagnostic(line);
  assert.ok(figures.requests > 20_000, `${figures.requests} requests`);
  assert.ok(figures.acknowledged > figures.requests / 2, `${figures.acknowledged} acknowledged`);
  assert.ok(figures.faults.length >= 8, `${figures.faults.length} faults`);
  assert.equal(judgement.strictKeys, 20);
  assert.ok(judgement.strictOperations > 5000, `${judgement.strictOperations} strict operations`);
  const page = readFileSync(html, 'utf8');
  assert.match(page, /Every promise was kept/);
  assert.doesNotMatch(page, /(src|href)=|url\(|@import|https?:/, 'the page loads nothing');
});
