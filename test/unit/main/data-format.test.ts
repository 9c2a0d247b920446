/** The form of a data directory: written at its first use, and left alone if it is a later one. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig, type NodeConfig } from '../../../src/main/config.ts';
import { EXIT } from '../../../src/main/exit-codes.ts';
import { DATA_FORMAT, dataFormat, markIdentity } from '../../../src/main/identity-file.ts';
import { checkIdentity } from '../../../src/main/known-topology.ts';
import { StartError } from '../../../src/main/start-error.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'dure-format-'));
after(() => rmSync(dataDir, { recursive: true }));

const config: NodeConfig = loadConfig({ values: { nodeId: 'n1', dataDir } }).config!;
const path = join(dataDir, 'identity.json');

function withFormat(format: unknown): void {
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), format }));
}

test('a new directory has none until it is marked, and then that of this release', () => {
  assert.equal(dataFormat(config), undefined);
  checkIdentity(config);
  markIdentity(config, undefined);
  assert.equal(dataFormat(config), DATA_FORMAT);
  checkIdentity(config);
});

test('a directory of a later release is refused, with what to do, and is not changed', () => {
  for (const format of [DATA_FORMAT + 1, 'x']) {
    withFormat(format);
    const before = readFileSync(path, 'utf8');
    assert.throws(
      () => checkIdentity(config),
      (error) => {
        assert.ok(error instanceof StartError);
        assert.equal(error.exitCode, EXIT.failed);
        assert.match(
          error.message,
          new RegExp(`has format ${format}, and this release, .*, knows format 1 `),
        );
        assert.match(error.message, /a later release wrote it[\s\S]*Start that release again/);
        return true;
      },
    );
    assert.equal(readFileSync(path, 'utf8'), before);
  }
});
