import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { LockedError, lockDirectory } from '../../../src/main/directory-lock.ts';

describe('lockDirectory', () => {
  const root = mkdtempSync(join(tmpdir(), 'dure-lock-'));
  after(() => rmSync(root, { recursive: true }));

  it('is held by one at a time, and says by whom', () => {
    const directory = join(root, 'deep', 'one');
    const unlock = lockDirectory(directory);
    assert.throws(
      () => lockDirectory(directory),
      (error) =>
        error instanceof LockedError && error.pid === process.pid && /in use by process/.test(error.message),
    );
    unlock();
    assert.deepEqual(readdirSync(directory), []);
    lockDirectory(directory)();
  });

  it('is taken over from a process that is gone, and from one whose number was used again', async () => {
    const directory = join(root, 'stale');
    const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' });
    await new Promise((done) => child.once('exit', done));
    lockDirectory(directory)();
    writeFileSync(join(directory, 'lock'), `${child.pid} whenever\n`);
    lockDirectory(directory)();
    if (existsSync('/proc/self/stat')) {
      writeFileSync(join(directory, 'lock'), `${process.ppid} an-earlier-boot:1\n`);
      lockDirectory(directory)();
    }
    const unlock = lockDirectory(directory);
    assert.equal(readFileSync(join(directory, 'lock'), 'utf8').split(' ')[0], String(process.pid));
    unlock();
  });

  it('is taken over when the file is damaged', () => {
    const directory = join(root, 'damaged');
    lockDirectory(directory)();
    writeFileSync(join(directory, 'lock'), 'nonsense');
    lockDirectory(directory)();
  });
});
