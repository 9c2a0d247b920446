/**
 * The package as others get it: packed by npm, unpacked where programs have their packages, used from plain
 * JavaScript and from TypeScript with strict settings, and its `dure` command run. Nothing is fetched: the packages
 * it depends on are those of this checkout, and no others are to be seen.
 */

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePortBase } from '../support/ports.ts';
import { run, Started } from '../support/process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const own = join(root, 'node_modules');

interface Manifest {
  readonly private?: boolean;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

const program = `
import { createNode, DureError } from 'dure';
import { connect } from 'dure/client';

const [, , resp, http] = process.argv.map(Number);
const node = await createNode({ nodeId: 'app', memory: true, ports: { resp, http } });
const client = await connect({ nodes: ['127.0.0.1:' + resp] });
await client.put('greeting', { hello: 'world' });
const peeked = node.peek('greeting');
await node.put('answer', 42);
const answer = await client.get('answer');
const ready = await fetch('http://127.0.0.1:' + http + '/health/ready');
let refused;
try {
  await createNode({ nodeId: 'app' });
} catch (error) {
  refused = error instanceof DureError && error.code;
}
await client.close();
await node.close();
console.log(JSON.stringify({ peeked, answer, ready: ready.status, refused }));
`;

const consumer = `
import { createNode, DureError, type EmbeddedNode, textCodec } from 'dure';
import { type Client, connect, jsonCodec } from 'dure/client';

interface Cart {
  readonly items: readonly string[];
}

const merge = (carts: readonly Cart[]): Cart => ({ items: carts.flatMap(({ items }) => items) });

export async function main(): Promise<number> {
  const node: EmbeddedNode<unknown> = await createNode({
    nodeId: 'a',
    members: [{ id: 'a', peerPort: 7001 }, { id: 'b', host: 'b.example', peerPort: 7001, zone: 'east' }],
    dataDir: '/var/lib/shop',
    policy: 'PA/EL',
    policies: [{ prefix: 'cart:', policy: { policy: 'PA/EC', conflicts: 'siblings' } }],
    limits: { requestTimeoutMs: '500ms' },
    log: { write: (level, event, fields) => console.log(level, event, fields?.['peer']) },
  });
  node.on('failed', ({ reason }) => console.error(reason.length));
  const carts = node.space<Cart>('cart:', { merge });
  const cart: Cart | undefined = await carts.get('1', { deadlineMs: 100, signal: AbortSignal.timeout(50) });
  const texts = node.space<string>('t:', { codec: textCodec });
  const text: string | undefined = texts.peek('x')?.value;
  // @ts-expect-error a cart is no number
  await carts.put('1', 7);
  for await (const key of carts.scan()) console.log(key.length);
  const client: Client<Cart> = await connect({ nodes: ['127.0.0.1:6371'], codec: jsonCodec<Cart>(), merge });
  try {
    await client.update('1', (found) => ({ items: [...(found?.items ?? []), 'milk'] }));
  } catch (error) {
    if (error instanceof DureError) console.log(error.outcome === 'unknown', error.code, error.retryable);
  }
  await client.close();
  await node.close({ graceMs: 100 });
  return (cart?.items.length ?? 0) + (text?.length ?? 0) + node.figures().framesSent + node.status().members.length;
}
`;

const settings = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    types: ['node'],
    noEmit: true,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noPropertyAccessFromIndexSignature: true,
    // The types of the package are looked at as well.
    skipLibCheck: false,
  },
  files: ['consumer.ts'],
};

/** The npm that belongs to the Node.js found on the path; undefined when there is none. */
function npm(): string | undefined {
  const folders = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'));
  return folders.map((folder) => join(folder, 'npm')).find((file) => existsSync(file));
}

describe('the package', {
  timeout: 120_000,
  skip: npm() === undefined ? 'NO NPM ON THE PATH' : false,
}, () => {
  let directory = '';
  let installed = '';
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'dure-package-'));
    const packed = await run(['npm', 'pack', '--json', '--offline', '--pack-destination', directory], {
      cwd: root,
      env: { PATH: `${dirname(npm()!)}${delimiter}${join(own, '.bin')}${delimiter}${process.env.PATH}` },
      timeoutMs: 90_000,
    });
    assert.equal(packed.code, 0, packed.stderr);
    installed = join(directory, 'node_modules', 'dure');
    mkdirSync(installed, { recursive: true });
    const [{ filename }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('['))) as [
      { filename: string },
    ];
    const unpacked = await run([
      'tar',
      '-xzf',
      join(directory, filename),
      '--strip-components=1',
      '-C',
      installed,
    ]);
    assert.equal(unpacked.code, 0, unpacked.stderr);
    for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
      const link = join(directory, 'node_modules', name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(own, name), link);
    }
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'consumer', type: 'module' }));
    writeFileSync(join(directory, 'program.js'), program);
    writeFileSync(join(directory, 'consumer.ts'), consumer);
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(settings));
  });

  after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));

  test('is private, and holds what was built and no sources', () => {
    assert.equal(manifest.private, true);
    assert.ok(existsSync(join(installed, 'dist', 'embed', 'index.js')));
    assert.ok(existsSync(join(installed, 'dist', 'client', 'index.d.ts')));
    assert.ok(!existsSync(join(installed, 'src', 'main', 'cli.ts')));
    assert.ok(!existsSync(join(installed, 'test')));
  });

  test('plain JavaScript makes a node, and a client uses it', async () => {
    const base = await freePortBase(1);
    const ports = [String(base), String(base + 2000)];
    const { code, stdout, stderr } = await run([process.execPath, 'program.js', ...ports], {
      cwd: directory,
    });
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), {
      peeked: { value: { hello: 'world' } },
      answer: 42,
      ready: 200,
      refused: 'invalid',
    });
  });

  test('TypeScript with strict settings takes its types', async () => {
    const { code, stdout } = await run([join(own, '.bin', 'tsc'), '-p', directory], { timeoutMs: 60_000 });
    assert.equal(code, 0, stdout);
  });

  test('its command runs a cluster', async () => {
    const command = [process.execPath, join(installed, manifest.bin.dure!)];
    const version = await run([...command, '--version']);
    assert.match(version.stdout, /^\d+\.\d+\.\d+/);
    const port = await freePortBase(2);
    const words = ['dev', '--nodes', '2', '--port', String(port), '--data-dir', join(directory, 'data')];
    const dev = new Started([...command, ...words, '--storage-engine', 'memory'], { cwd: directory });
    try {
      await dev.says(/Stop: {2}Ctrl-C/, 60_000);
      assert.doesNotMatch(dev.stdout, /not running/);
    } finally {
      assert.equal((await dev.end('SIGTERM')).code, 0);
    }
  });
});
