/**
 * A disk that becomes full and gets space back, for real: a file system of 48 MiB in a mount namespace
 * of its own. Skipped, and said so, where such a one cannot be made (not Linux, no right to).
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';

const ways = [['--user', '--map-root-user', '--mount'], ['--mount']];

/** Runs `command` (with $0 the directory) where `directory` is a small file system; undefined if it cannot. */
function onSmallDisk(directory: string, command: string, rest: string[]): string | undefined {
  for (const way of ways) {
    const mount = 'mount -t tmpfs -o size=48m tmpfs "$0"';
    if (spawnSync('unshare', [...way, 'sh', '-c', mount, directory]).status !== 0) continue;
    const run = spawnSync(
      'unshare',
      [...way, 'sh', '-c', `${mount} && exec ${command}`, directory, ...rest],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    assert.equal(run.status, 0, run.stderr);
    return run.stdout;
  }
  return undefined;
}

it('disk full: writes fail clearly, reads go on, and it recovers by itself', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'dure-full-'));
  context.after(() => rm(directory, { recursive: true, force: true }));
  const script = join(import.meta.dirname, '../support/disk-full.ts');
  const output = onSmallDisk(directory, '"$1" "$2" "$0"', [process.execPath, script]);
  if (output === undefined) {
    context.skip('no small file system can be mounted here');
    return;
  }
  const report = JSON.parse(output);
  assert.ok(report.acknowledged > 1000, output);
  // The write that met the full disk does not know; those after it were never tried.
  assert.deepEqual(report.errors, { 'storage-full unknown': 1, 'storage-full fail': 49 });
  assert.equal(report.refusedWhileFull, 'storage-full');
  assert.ok(report.readableWhileFull > 1000);
  assert.equal(report.readableAfter, report.acknowledged);
  assert.equal(report.readableAgain, report.acknowledged);
  assert.ok(report.recoveredMs < 10_000);
  assert.equal(report.phantom, false, 'a refused write never shows up');
  assert.equal(report.lost, false);
  assert.deepEqual(report.events, ['storage-full', 'storage-space-back']);
});
