/**
 * Guides that are held to their word: the pieces of TypeScript in a document, in order, are one program. It runs and
 * prints what its comments say (`// → …`), it type-checks under the package's own names, and the document names every
 * member of a type that it has a table of.
 */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './process.ts';

const root = new URL('../../', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));

/** The text of a file of the project. */
export function textOf(name: string): string {
  return readFileSync(new URL(name, root), 'utf8');
}

/** The program that the pieces of code in a document make; fewer than `piecesMin` are a mistake. */
export function programOf(document: string, piecesMin: number): string {
  const pieces = [...document.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
  assert.ok(pieces.length >= piecesMin, `${pieces.length} pieces of code`);
  return pieces.join('\n');
}

/** Runs a program that imports the package by `name` (from `entry`), and compares what it prints. */
export async function checkPrinted(
  directory: string,
  program: string,
  { name, entry, linesMin }: { name: string; entry: string; linesMin: number },
): Promise<void> {
  const file = join(directory, 'guide.ts');
  writeFileSync(file, program.replaceAll(`'${name}'`, JSON.stringify(new URL(entry, root).href)));
  const expected = [...program.matchAll(/\/\/ → (.*)$/gm)].map(([, printed]) => printed!);
  assert.ok(expected.length >= linesMin, `${expected.length} lines are promised`);
  const { code, stdout, stderr } = await run([process.execPath, file]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.trim().split('\n'), expected);
}

/** Type-checks a program that imports the package by `name`, as strictly as the project itself. */
export async function checkTyped(
  directory: string,
  program: string,
  { name, entry }: { name: string; entry: string },
): Promise<void> {
  writeFileSync(join(directory, 'typed.mts'), program);
  const settings = {
    extends: path('tsconfig.json'),
    compilerOptions: {
      paths: { [name]: [path(entry)] },
      typeRoots: [path('node_modules/@types')],
      noUnusedLocals: false,
    },
    include: ['typed.mts'],
  };
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(settings));
  const { code, stdout } = await run([path('node_modules/.bin/tsc'), '--noEmit', '-p', directory]);
  assert.equal(code, 0, stdout);
}

/** Names that `member` finds in what `type` finds of a file. */
export function namesIn(file: string, type: RegExp, member: RegExp): string[] {
  const body = type.exec(textOf(file))?.[1] ?? '';
  const found = [...body.matchAll(member)].map(([, name]) => name!);
  assert.ok(found.length > 2, `${found} in ${file}`);
  return found;
}

/** Members of an interface as it is laid out here, for `namesIn`. */
export const PROPERTY: RegExp = /^ {2}(?:readonly )?(\w+)\??:/gm;

/** The document says `name`, in a piece of code of a line. */
export function checkNamed(document: string, name: string, title: string): void {
  assert.match(document, new RegExp(`\`[^\`\n]*\\b${name}\\b`), `${title} says nothing of ${name}`);
}
