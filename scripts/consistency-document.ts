/**
 * The measured parts of docs/consistency.md: the tables of what each policy does while the network is cut
 * (`npm run presets:table`), and the transcripts of the experiments in examples/consistency
 * (`npm run consistency:doc`, which also makes the tables). Tests run the same and compare, so the page cannot
 * tell what the system does not do.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { measure } from './presets/measure.ts';
import { presetTables } from './presets/table.ts';

const file = fileURLToPath(new URL('../docs/consistency.md', import.meta.url));
const tablesPart = 'what each policy does: made by npm run presets:table';
const experimentTimeoutMs = 120_000;

/** The experiments, by the names of their files in examples/consistency. */
export const EXPERIMENTS: readonly string[] = [
  '01-quorum',
  '02-partition',
  '03-siblings',
  '04-sloppy-stale-read',
  '05-last-write-wins',
  '06-latency',
  '07-deletes-and-expiry',
  '08-unknown',
];

/**
 * A transcript without what differs from run to run: times that were measured, and the reasons of errors (a node
 * that does not answer may be found out by its silence or by the deadline of the request).
 */
export function comparable(transcript: string): string {
  return transcript
    .replace(/ +[\d.]+ (ms|s)\b/g, ' … $1')
    .replace(/\(error\) ([A-Z]+) [^;\n]*;/g, '(error) $1 …;')
    .trim();
}

export function consistencyDocument(): string {
  return readFileSync(file, 'utf8');
}

/** Path of an experiment's script. */
export function experimentFile(name: string): string {
  return fileURLToPath(new URL(`../examples/consistency/${name}.ts`, import.meta.url));
}

interface Place {
  readonly from: number;
  readonly to: number;
}

function placeOf(document: string, part: string): Place {
  const begin = `<!-- ${part} -->\n`;
  const from = document.indexOf(begin);
  const to = document.indexOf('\n<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`docs/consistency.md lacks the marks of "${part}"`);
  return { from: from + begin.length, to };
}

function partOf(document: string, part: string): string {
  const { from, to } = placeOf(document, part);
  return document.slice(from, to).trim();
}

function withPart(document: string, part: string, text: string): string {
  const { from, to } = placeOf(document, part);
  return `${document.slice(0, from)}\n${text}\n${document.slice(to)}`;
}

/** The tables as the page has them. */
export function documentedTables(document: string): string {
  return partOf(document, tablesPart);
}

function transcriptPart(name: string): string {
  return `transcript of ${name}`;
}

/** The transcript of an experiment as the page has it. */
export function documentedTranscript(document: string, name: string): string {
  return partOf(document, transcriptPart(name))
    .replace(/^```text\n/, '')
    .replace(/\n```$/, '');
}

function runExperiment(name: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [experimentFile(name)], {
    encoding: 'utf8',
    timeout: experimentTimeoutMs,
  });
  if (status !== 0) throw new Error(`${name} failed:\n${stdout}\n${stderr}`);
  return stdout.trim();
}

if (import.meta.main) {
  let document = consistencyDocument();
  const [only] = process.argv.slice(2);
  if (only === undefined || only === 'tables') {
    document = withPart(document, tablesPart, presetTables(await measure()));
  }
  for (const name of EXPERIMENTS) {
    if (only !== undefined && only !== name) continue;
    const transcript = runExperiment(name);
    document = withPart(document, transcriptPart(name), `\`\`\`text\n${transcript}\n\`\`\``);
  }
  writeFileSync(file, document);
  process.stdout.write(`wrote ${file}\n`);
}
