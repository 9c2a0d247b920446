/** docs/client.md is true: its code runs as one program and prints what it says, and its table has every option. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestCluster } from '../support/cluster.ts';
import { run } from '../support/process.ts';

const root = new URL('../../', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, root), 'utf8');
const path = (name: string): string => fileURLToPath(new URL(name, root));
const guide = read('docs/client.md');

function blocksOf(text: string): string[] {
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
  assert.ok(blocks.length > 10, `${blocks.length} pieces of code`);
  return blocks;
}

describe('the guide of the client', { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-guide-'));
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.start();
  });

  after(async () => {
    await cluster.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('runs, and prints what it says', async () => {
    const program = blocksOf(guide)
      .join('\n')
      .replaceAll("'dure/client'", JSON.stringify(new URL('client/index.ts', root).href))
      .replace(
        /127\.0\.0\.1:637(\d)/g,
        (_, node: string) => `127.0.0.1:${cluster.respPort(Number(node) - 1)}`,
      );
    const file = join(directory, 'guide.ts');
    writeFileSync(file, program);
    const expected = [...program.matchAll(/\/\/ → (.*)$/gm)].map(([, printed]) => printed!);
    assert.ok(expected.length > 10, `${expected.length} lines are promised`);
    const { code, stdout, stderr } = await run([process.execPath, file]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(stdout.trim().split('\n'), expected);
  });

  it('has the types it should have', async () => {
    writeFileSync(join(directory, 'typed.mts'), blocksOf(guide).join('\n'));
    const settings = {
      extends: path('tsconfig.json'),
      compilerOptions: {
        paths: { 'dure/client': [path('client/index.ts')] },
        typeRoots: [path('node_modules/@types')],
        noUnusedLocals: false,
      },
      include: ['typed.mts'],
    };
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(settings));
    const { code, stdout } = await run([path('node_modules/.bin/tsc'), '--noEmit', '-p', directory]);
    assert.equal(code, 0, stdout);
  });

  it('has every option, event, metric and code of an error', () => {
    const names = (file: string, type: RegExp, member: RegExp): string[] => {
      const body = type.exec(read(file))?.[1] ?? '';
      const found = [...body.matchAll(member)].map(([, name]) => name!);
      assert.ok(found.length > 2, `${found} in ${file}`);
      return found;
    };
    const property = /^ {2}(?:readonly )?(\w+)\??:/gm;
    for (const name of [
      ...names('client/options.ts', /interface ConnectOptions<T> \{(.*?)^\}/ms, property),
      ...names('client/near-cache.ts', /interface NearCacheOptions \{(.*?)^\}/ms, property),
      ...names('client/backoff.ts', /interface RetryBudgetOptions \{(.*?)^\}/ms, property),
      ...names('client/events.ts', /interface ClientEvents \{(.*?)^\}/ms, property),
      ...names('client/metrics.ts', /interface ClientMetrics \{(.*?)^\}/ms, property),
      ...names('client/metrics.ts', /interface LatencySummary \{(.*?)^\}/ms, property),
      ...names('client/errors.ts', /type ClientErrorCode =(.*?);/ms, /\| '([\w-]+)'/g),
    ]) {
      assert.match(guide, new RegExp(`\`[^\`\n]*\\b${name}\\b`), `docs/client.md says nothing of ${name}`);
    }
  });
});
