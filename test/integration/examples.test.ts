/**
 * The experiments of docs/consistency.md, run as a reader runs them: each prints what the page says it prints, but
 * for measured times, which lie where they must, and the reasons of errors. What they started ends with them.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  comparable,
  consistencyDocument,
  documentedTranscript,
  EXPERIMENTS,
  experimentFile,
} from '../../scripts/consistency-document.ts';
import { run } from '../support/process.ts';

/** Lines that each experiment is about: they must be there whatever the page says, in this order. */
const essential: Readonly<Record<string, readonly string[]>> = {
  '01-quorum': ['"zero"', '"zero"', '"one"', '"two"', '"three"', '"four"', 'TRYAGAIN', 'TRYAGAIN'],
  '02-partition': [
    'n3> SET seat:a bob',
    'TRYAGAIN',
    'n3> GET item:a',
    '"before"',
    'whole again',
    '"ann"',
    '"right"',
  ],
  '03-siblings': [
    '"eggs+tea" and "eggs+milk"',
    '"eggs+milk+tea"',
    '"eggs+milk+tea+rice" and "eggs+milk+tea+jam"',
    '"soap" and ',
    'DURE.DEL',
    ': "soap"',
  ],
  '04-sloppy-stale-read': [
    'SET sloppy:{account} second',
    'OK',
    '"first"',
    'TRYAGAIN',
    'whole again',
    '"second"',
  ],
  '05-last-write-wins': [
    '(integer) 11',
    '(integer) 11',
    'whole again',
    '"bob"',
    '"11"',
    '"bob" and "ann"',
    '"ann"',
  ],
  '06-latency': ['PA/EL', 'PA/EC', 'PC/EL', 'PC/EC', 'R=1 W=3 SLOPPY', 'R=1 W=3 STRICT'],
  '07-deletes-and-expiry': [
    '(nil)',
    '"old"',
    'whole again',
    '(nil)',
    '(nil)',
    '(nil)',
    '"new"',
    '"new"',
    '(nil)',
  ],
  '08-unknown': [
    'SET session:a bob',
    'UNKNOWN',
    'SET item:a bob',
    'UNKNOWN',
    'SET seat:a bob',
    'TRYAGAIN',
    'SET session:a eve',
    'TRYAGAIN',
    ...['"before"', '"before"', '"before"', '"bob"'],
    'whole again',
    ...['"bob"', '"bob"', '"bob"', '"bob"', '"bob"', '"bob"', '"before"', '"before"', '"before"'],
  ],
};

function assertInOrder(transcript: string, words: readonly string[]): void {
  let at = 0;
  for (const word of words) {
    const found = transcript.indexOf(word, at);
    assert.ok(
      found >= 0,
      `${word} is missing after:\n${transcript.slice(0, at)}\n---\n${transcript.slice(at)}`,
    );
    at = found + word.length;
  }
}

/** All numbers with this unit. */
function times(text: string, unit: 'ms' | 's'): number[] {
  return [...text.matchAll(new RegExp(` ([\\d.]+) ${unit}\\b`, 'g'))].map(([, number]) => Number(number));
}

describe('the experiments of docs/consistency.md', { concurrency: 2, timeout: 235_000 }, () => {
  const document = consistencyDocument();

  for (const name of EXPERIMENTS) {
    it(name, async () => {
      const { code, stdout, stderr } = await run([process.execPath, experimentFile(name)], {
        timeoutMs: 120_000,
      });
      assert.equal(code, 0, `${stdout}\n${stderr}`);
      assertInOrder(stdout, essential[name]!);
      assert.equal(comparable(stdout), comparable(documentedTranscript(document, name)));
      if (name === '01-quorum') {
        const [w1, w2, w3] = times(stdout.slice(stdout.indexOf('W=1:')), 's') as [number, number, number];
        assert.ok(w1 < 0.2 && w2 >= 0.2 && w3 >= 0.8, `writes took ${w1}, ${w2}, ${w3} s`);
      }
      if (name === '06-latency') checkLatencies(stdout);
    });
  }

  it('are drawn: what the arrows say was said', () => {
    const drawings = [...document.matchAll(/^```mermaid\nsequenceDiagram\n([\s\S]*?)^```$/gm)];
    assert.equal(drawings.length, EXPERIMENTS.length);
    for (const [i, name] of EXPERIMENTS.entries()) {
      const [, drawing] = drawings[i]!;
      const transcript = documentedTranscript(document, name);
      const said = [...drawing!.matchAll(/"[^"]+"|TRYAGAIN|UNKNOWN|SET [a-z0-9]+:?[a-z]* [a-z]+/g)];
      for (const [words] of said)
        assert.ok(transcript.includes(words), `${name}: ${words} is drawn, and not said`);
      assert.ok(name === '06-latency' || said.length >= 2, `${name}: the drawing shows values`);
    }
  });

  it('are all of the scripts there are, and the page says how to run each', () => {
    const folder = fileURLToPath(new URL('../../examples/consistency', import.meta.url));
    const scripts = readdirSync(folder).filter((file) => /^\d/.test(file));
    assert.deepEqual(
      scripts.sort(),
      EXPERIMENTS.map((name) => `${name}.ts`),
    );
    for (const name of EXPERIMENTS) {
      const command = `npx node examples/consistency/${name}.ts`;
      assert.ok(document.includes(command), `${command} is not in docs/consistency.md`);
      assert.ok(
        readFileSync(experimentFile(name), 'utf8').includes(command),
        `${name}.ts does not say how to run it`,
      );
    }
  });
});

/** A round trip takes 80 ms. The quickest request waits for none, for one, or for two, however busy the machine. */
function checkLatencies(stdout: string): void {
  const row = (preset: string): number[] =>
    times(new RegExp(`^${preset}.*$`, 'm').exec(stdout)?.[0] ?? '', 'ms');
  const isLocal = (time: number): boolean => time < 40;
  const isTrip = (time: number): boolean => time >= 78 && time < 155;
  for (const [preset, write, read] of [
    ['PA/EL', isLocal, isLocal],
    ['PA/EC', isTrip, isTrip],
    ['PC/EL', isTrip, isLocal],
    ['PC/EC', (time: number) => time >= 156, isTrip],
    ['R=1 W=3 SLOPPY', isTrip, isLocal],
    ['R=1 W=3 STRICT', isTrip, isTrip],
  ] as const) {
    const [writeMs, , readMs] = row(preset) as [number, number, number, number];
    assert.ok(write(writeMs) && read(readMs), `${preset}: ${writeMs} ms, ${readMs} ms`);
  }
}
