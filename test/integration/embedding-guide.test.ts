/** docs/embedding.md is true: its code runs as one program and prints what it says, and it has every option and event. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePortBase } from '../support/ports.ts';
import { run } from '../support/process.ts';

const root = new URL('../../', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, root), 'utf8');
const path = (name: string): string => fileURLToPath(new URL(name, root));
const guide = read('docs/embedding.md');
const code = [...guide.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block!).join('\n');

describe('the guide to embedding', { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-guide-'));

  after(() => rmSync(directory, { recursive: true, force: true }));

  it('runs, and prints what it says', async () => {
    const base = await freePortBase(3);
    const program = code
      .replaceAll("'dure'", JSON.stringify(new URL('embed/index.ts', root).href))
      .replace(/peerPort: 700(\d)/g, (_, n: string) => `peerPort: ${base + Number(n) - 1}`);
    const file = join(directory, 'guide.ts');
    writeFileSync(file, program);
    const expected = [...program.matchAll(/\/\/ → (.*)$/gm)].map(([, printed]) => printed!);
    assert.ok(expected.length > 8, `${expected.length} lines are promised`);
    const ended = await run([process.execPath, file]);
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(ended.stdout.trim().split('\n'), expected);
  });

  it('has the types it should have', async () => {
    writeFileSync(join(directory, 'typed.mts'), code);
    const settings = {
      extends: path('tsconfig.json'),
      compilerOptions: {
        paths: { dure: [path('embed/index.ts')] },
        typeRoots: [path('node_modules/@types')],
        noUnusedLocals: false,
      },
      include: ['typed.mts'],
    };
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(settings));
    const { code: exitCode, stdout } = await run([
      path('node_modules/.bin/tsc'),
      '--noEmit',
      '-p',
      directory,
    ]);
    assert.equal(exitCode, 0, stdout);
  });

  it('has every option, event and code of an error', () => {
    const names = (file: string, type: RegExp, member: RegExp): string[] => {
      const body = type.exec(read(file))?.[1] ?? '';
      const found = [...body.matchAll(member)].map(([, name]) => name!);
      assert.ok(found.length > 2, `${found} in ${file}`);
      return found;
    };
    const property = /^ {2}(?:readonly )?(\w+)\??:/gm;
    for (const name of [
      ...names('embed/options.ts', /interface NodeOptions<T> \{(.*?)^\}/ms, property),
      ...names('embed/options.ts', /interface MemberOptions \{(.*?)^\}/ms, property),
      ...names('embed/events.ts', /interface NodeEvents \{(.*?)^\}/ms, property),
      ...names('src/base/errors.ts', /type ErrorCode =(.*?);\n\n/ms, /\| '([\w-]+)'/g),
    ]) {
      const shown = name === 'siblings' ? 'SIBLINGS' : name;
      assert.match(
        guide,
        new RegExp(`\`[^\`\n]*\\b${shown}\\b`),
        `docs/embedding.md says nothing of ${name}`,
      );
    }
  });
});
