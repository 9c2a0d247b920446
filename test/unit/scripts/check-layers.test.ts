/**
 * The layer checker catches what it is there for. One fixture tree a rule breaks exactly that rule, the
 * project itself breaks none, and short sources try what could fool a reader of text: comments, strings,
 * templates, regular expressions.
 */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are source texts

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { checkTree, type Finding, formatFinding, readTree } from '../../../scripts/layers/check.ts';
import { AMBIENT, ASYNCHRONOUS, LENGTH_LIMITS_DEFAULT } from '../../../scripts/layers/rules.ts';
import { tokenize } from '../../../scripts/layers/tokens.ts';

const projectRoot = path.join(import.meta.dirname, '../../..');
const fixtures = path.join(projectRoot, 'test/fixtures/layers');

/** The line of each fixture on which its rule is broken. */
const broken: Readonly<Record<string, string>> = {
  'unknown-folder': 'src/attic/trunk.ts:1',
  unreadable: 'src/base/open.ts:2',
  layer: 'src/base/upward.ts:2',
  cycle: 'src/ring/egg.ts:2',
  unresolved: 'src/base/lost.ts:2',
  'pure-import': 'src/base/reader.ts:2',
  'pure-ambient': 'src/coordinator/clock.ts:3',
  synchronous: 'src/node/later.ts:2',
  settings: 'src/adapters/port.ts:2',
  'doc-comment': 'src/base/silent.ts:1',
  'file-length': 'src/base/long.ts:1',
  'function-length': 'src/base/long.ts:2',
};

/** Findings in one file of `src/<folder>/`, which already opens as it should. */
function check(folder: string, source: string): Finding[] {
  return checkTree(new Map([[`src/${folder}/it.ts`, `/** A file. */ ${source}\n`]]));
}

function rulesOf(findings: readonly Finding[]): string[] {
  return [...new Set(findings.map((finding) => finding.rule))].sort();
}

test('each fixture breaks exactly its rule, where it says', () => {
  const trees = readdirSync(fixtures).filter((name) => name !== 'clean');
  assert.deepEqual(trees.sort(), Object.keys(broken).sort(), 'every rule has a fixture');
  for (const rule of trees) {
    const findings = checkTree(readTree(path.join(fixtures, rule)));
    assert.deepEqual(rulesOf(findings), [rule], findings.map(formatFinding).join('\n'));
    assert.ok(findings.every((finding) => finding.severity === 'error'));
    assert.equal(`${findings[0]!.file}:${findings[0]!.line}`, broken[rule]);
    assert.ok(findings[0]!.message.includes(': '), 'the message says what to do');
  }
});

test('a tree in order is clean, whatever its comments and strings say', () => {
  assert.deepEqual(checkTree(readTree(path.join(fixtures, 'clean'))), []);
});

test('this project is in order', () => {
  const errors = checkTree(readTree(projectRoot)).filter((finding) => finding.severity === 'error');
  assert.deepEqual(errors.map(formatFinding), []);
});

test('the command fails on a broken tree, passes a clean one, and refuses a wrong command line', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(projectRoot, 'scripts/check-layers.ts'), ...args], {
      encoding: 'utf8',
    });
  const bad = run(path.join(fixtures, 'cycle'));
  assert.equal(bad.status, 1, bad.stderr);
  assert.match(
    bad.stdout,
    /^src\/ring\/egg\.ts:2: error \[cycle\] .*egg\.ts → .*shell\.ts → .*hen\.ts → .*egg\.ts/,
  );
  assert.equal(run(path.join(fixtures, 'clean')).status, 0);
  const strict = run(path.join(fixtures, 'clean'), '--function-lines-warn', '2', '--function-lines-max', '3');
  assert.equal(strict.status, 1);
  assert.match(strict.stdout, /high\.ts:5: error \[function-length\] later has 4 lines/);
  assert.equal(run('--file-lines-max', 'many').status, 2);
  assert.equal(run(path.join(fixtures, 'nowhere')).status, 2);
});

test('every ambient and asynchronous name is caught in every pure layer, and only there', () => {
  for (const name of AMBIENT.keys()) {
    for (const folder of ['base', 'resp', 'rows', 'coordinator', 'node', 'commands']) {
      assert.deepEqual(rulesOf(check(folder, `use(${name});`)), ['pure-ambient'], `${name} in ${folder}`);
    }
    assert.deepEqual(check('adapters', `use(${name});`), [], name);
    assert.deepEqual(check('node', `use(x.${name}, x?.${name}, { ${name}: 1 });`), [], name);
  }
  for (const name of ASYNCHRONOUS) {
    assert.deepEqual(rulesOf(check('commands', `let x: ${name};`)), ['synchronous'], name);
    assert.deepEqual(check('http', `let x: ${name};`), [], name);
  }
});

test('ways around purity are closed', () => {
  const ambient = [
    'Math.random();',
    "Math['random']();",
    'const { random } = Math;',
    'type Moment = Date;',
    'const text = `${a}${`b ${Date.now()} `} c`;',
    'const at = import.meta.url;',
    'const y = \\u0044ate;',
    'const y = D\\u{61}te;',
    'const half = x / Date / y;',
    'const { process } = scope;',
    'a.localeCompare(b);',
    'c ? Date : 1;',
  ];
  for (const source of ambient) assert.deepEqual(rulesOf(check('rows', source)), ['pure-ambient'], source);
  const asynchronous = [
    'p.then(f);',
    'const f = async () => 1;',
    'for await (const x of y) f(x);',
    'p?.then (f);',
  ];
  for (const source of asynchronous)
    assert.deepEqual(rulesOf(check('rows', source)), ['synchronous'], source);
  const imports = [
    "import 'fs';",
    "import fs from 'node:fs';",
    "import type { Stats } from 'node:fs';",
    "export * from 'node:os';",
    "export * as os from 'os';",
    "export { pid } from 'process';",
    "import zod, { type ZodError } from 'zod';",
    "import x from '@scope/name/deep';",
    "let x: import('node:fs').Stats;",
  ];
  for (const source of imports) {
    assert.ok(rulesOf(check('rows', source)).includes('pure-import'), source);
    assert.deepEqual(
      check('adapters', source).filter(({ rule }) => rule !== 'settings'),
      [],
      source,
    );
  }
  assert.deepEqual(rulesOf(check('adapters', 'import(name);')), ['unresolved']);
});

test('what only looks like a forbidden word is let through', () => {
  const fine = [
    '// Date.now()',
    '/* await */',
    "const a = 'Date', b = \"it's Date\", c = 'it\\'s Date';",
    'const a = `Date \\` \\${Date} ${1}`;',
    'const a = /Date[/]Date/g, b = !/"Date/.test(x), c = x / y, d = "Date";',
    'if (x) /Date"/.test(x);',
    'const a = (x + y) / 2, b = "Date" + z / 3;',
    'const a = x! / 2, b = "Date", c = y++ / 2;',
    'interface A { Date: number; readonly process?: string }',
    'const dated = updated, awaiting = 1, asyncThing = 2;',
    'x.await(); x.async(); const then = 1; then(x);',
  ];
  for (const source of fine) {
    const findings = check('rows', source).filter(({ rule }) => rule !== 'unresolved');
    assert.deepEqual(findings, [], source);
  }
});

test('imports go down or stay at home', () => {
  const files = (from: string, to: string): Finding[] => {
    const specifier = path.posix.relative(path.posix.dirname(from), to);
    const written = specifier.startsWith('.') ? specifier : `./${specifier}`;
    return checkTree(
      new Map([
        [from, `/** From. */ import { x } from '${written}';\n`],
        [to, '/** To. */ export const x = 1;\n'],
      ]),
    );
  };
  const allowed = [
    ['src/rows/a.ts', 'src/rows/b.ts'],
    ['src/rows/deep/a.ts', 'src/rows/b.ts'],
    ['src/main/a.ts', 'src/base/b.ts'],
    ['src/node/a.ts', 'src/coordinator/b.ts'],
    ['client/a.ts', 'src/resp/b.ts'],
    ['client/a.ts', 'src/ring/slots.ts'],
    ['cli/a.ts', 'client/b.ts'],
    ['examples/a.ts', 'client/b.ts'],
    ['examples/consistency/a.ts', 'src/node/b.ts'],
  ];
  for (const [from, to] of allowed) assert.deepEqual(files(from!, to!), [], `${from} → ${to}`);
  const refused = [
    ['src/rows/a.ts', 'src/wire/b.ts'],
    ['src/resp/a.ts', 'src/ring/b.ts'],
    ['src/base/a.ts', 'src/main/b.ts'],
    ['src/server/a.ts', 'src/http/b.ts'],
    ['src/main/a.ts', 'client/b.ts'],
    ['client/a.ts', 'src/node/b.ts'],
    ['client/a.ts', 'src/ring/placement.ts'],
    ['client/a.ts', 'src/ports/clock.ts'],
    ['client/a.ts', 'cli/b.ts'],
    ['examples/a.ts', 'src/resp/b.ts'],
  ];
  for (const [from, to] of refused)
    assert.deepEqual(rulesOf(files(from!, to!)), ['layer'], `${from} → ${to}`);
  assert.deepEqual(rulesOf(check('main', "import x from '../../test/x.ts';")), ['layer']);
  assert.deepEqual(rulesOf(check('main', "import x from '../../../elsewhere.ts';")), ['layer']);
  const direct = checkTree(new Map([['src/index.ts', '/** A file. */\n']]));
  assert.deepEqual(rulesOf(direct), ['unknown-folder']);
});

test('the client has no packages, and TCP in one file', () => {
  const inClient = (file: string, specifier: string): Finding[] =>
    checkTree(new Map([[file, `/** It. */ import { x } from '${specifier}';\n`]]));
  assert.deepEqual(inClient('client/socket.ts', 'node:net'), []);
  assert.deepEqual(inClient('cli/socket.ts', 'node:net'), []);
  for (const [file, specifier] of [
    ['client/engine.ts', 'node:net'],
    ['client/socket.ts', 'node:fs'],
    ['client/codec.ts', 'zod'],
  ] as const) {
    assert.deepEqual(rulesOf(inClient(file, specifier)), ['layer'], `${file} → ${specifier}`);
  }
});

test('only src/main reads the command line and the environment', () => {
  const readers = [
    'const x = process.env.X;',
    'const x = process?.argv[2];',
    "const x = process['env'];",
    'const { env } = process;',
    'const x = globalThis.process.env;',
    "import { argv } from 'node:process';",
    "import { parseArgs } from 'node:util';",
  ];
  for (const source of readers) {
    assert.deepEqual(rulesOf(check('server', source)), ['settings'], source);
    assert.deepEqual(check('main', source), [], source);
  }
  assert.deepEqual(check('server', 'process.pid; process.memoryUsage();'), []);
  const embedded = new Map([
    ['embed/x.ts', '/** An embedded node is a guest. */\nconst x = process.env.X;\n'],
  ]);
  assert.deepEqual(rulesOf(checkTree(embedded)), ['settings']);
});

test('lengths warn first and fail later', () => {
  const severities = (lines: number, source: (lines: number) => string): string[] =>
    checkTree(new Map([['src/base/it.ts', source(lines)]])).map(
      ({ rule, severity }) => `${rule} ${severity}`,
    );
  const file = (lines: number): string => `/** A file. */\n${'f();\n'.repeat(lines - 1)}`;
  assert.deepEqual(severities(500, file), []);
  assert.deepEqual(severities(501, file), ['file-length warning']);
  assert.deepEqual(severities(600, file), ['file-length warning']);
  assert.deepEqual(severities(601, file), ['file-length error']);
  const heads = [
    'function it(a: number): number {',
    'function it<T extends { a: 1 }>(a: T): { b: () => void } | Map<string, { c: 1 }> {',
    'class A { it(a = {}): asserts a is { b: 1 } {',
    'const it = (a: number): number => {',
    'const it = function () {',
    'class A { constructor() {',
    'class A { get it(): () => void {',
  ];
  for (const head of heads) {
    const body = (lines: number): string =>
      `/** A file. */\n${head}\n${'f();\n'.repeat(lines - 2)}}${head.startsWith('class') ? '}' : ''}\n`;
    assert.deepEqual(severities(70, body), [], head);
    assert.deepEqual(severities(71, body), ['function-length warning'], head);
    assert.deepEqual(severities(120, body), ['function-length warning'], head);
    assert.deepEqual(severities(121, body), ['function-length error'], head);
  }
  const blocks = [
    'class A {',
    'const a = {',
    'const a = c ? f(a) : {',
    'type A = {',
    'if (f(a)) {',
    'for (;;) {',
  ];
  for (const head of blocks) {
    const body = (lines: number): string => `/** A file. */\n${head}\n${'\n'.repeat(lines)}}\n`;
    assert.deepEqual(severities(200, body), [], head);
  }
  assert.ok(LENGTH_LIMITS_DEFAULT.functionLinesWarn < LENGTH_LIMITS_DEFAULT.functionLinesMax);
});

test('the tokenizer gives tokens with their lines', () => {
  const source =
    '#!/usr/bin/env node\n/** Doc. */\nlet a = `x\n${b}\ny`;\n\nc("d\\"e", /f/g, 1.5e-3, 0xfe-1);\n';
  const { tokens, lines, opening } = tokenize(source);
  assert.deepEqual(
    tokens.map(({ kind, text, line }) => `${line} ${kind} ${text.replaceAll('\n', '¶')}`),
    [
      '3 word let',
      '3 word a',
      '3 punctuation =',
      '3 template x¶',
      '4 word b',
      '4 template ¶y',
      '5 punctuation ;',
      '7 word c',
      '7 punctuation (',
      '7 string d\\"e',
      '7 punctuation ,',
      '7 regex /f/g',
      '7 punctuation ,',
      '7 number 1.5e-3',
      '7 punctuation ,',
      '7 number 0xfe',
      '7 punctuation -',
      '7 number 1',
      '7 punctuation )',
      '7 punctuation ;',
    ],
  );
  assert.equal(lines, 7);
  assert.equal(opening, '/** Doc. */');
  for (const open of ['/* a', '"a', "'a\n'", '`a', '`${a', 'x = /a', 'f({']) {
    assert.throws(() => tokenize(open), { name: 'TokenError' }, open);
  }
});
