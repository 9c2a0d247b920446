/**
 * The example of three application processes that share a cache (`examples/shared-cache.ts`), with kill -9 of one of
 * them under load: no read of the others fails, what was cached stays cached, and the one that comes back has it again.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePortBase } from '../support/ports.ts';
import { Started } from '../support/process.ts';
import { until } from '../support/wait.ts';

const script = fileURLToPath(new URL('../../examples/shared-cache.ts', import.meta.url));

interface PageAnswer {
  readonly html: string;
  readonly madeBy: string;
  readonly from: 'cache' | 'made';
}

interface Stats {
  readonly localReads: number;
  readonly requests: number;
  readonly failures: number;
  readonly live: readonly string[];
}

describe('three processes that share a cache', { timeout: 120_000 }, () => {
  const processes: Started[] = [];
  let port = 0;

  before(async () => {
    port = await freePortBase(20);
    for (const n of [1, 2, 3]) processes.push(start(n));
    for (const n of [1, 2, 3]) {
      await processes[n - 1]!.says(/http:/);
      await until(async () => (await stats(n)).live.length === 3, `process ${n} sees all`, 20_000);
    }
  });

  after(async () => {
    for (const started of processes) await started.end();
  });

  function start(n: number): Started {
    return new Started([process.execPath, script, '--process', String(n), '--port', String(port)]);
  }

  async function ask<T>(n: number, path: string, method = 'GET'): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${port + n}${path}`, { method });
    const text = await response.text();
    assert.equal(response.status, 200, `${method} ${path} of process ${n}: ${text}`);
    return JSON.parse(text) as T;
  }

  const stats = (n: number): Promise<Stats> => ask<Stats>(n, '/stats');
  const page = (n: number, id: number): Promise<PageAnswer> => ask<PageAnswer>(n, `/page/${id}`);
  const ids = Array.from({ length: 40 }, (_, i) => i);

  it('what one made, all read from their own memory; what one deletes, all make anew', async () => {
    await Promise.all(ids.map((id) => page(1, id)));
    for (const n of [2, 3]) {
      await until(async () => (await page(n, 39)).from === 'cache', `process ${n} has it`);
      for (const id of ids) {
        const { madeBy, from } = await page(n, id);
        assert.deepEqual([madeBy, from], ['app1', 'cache']);
      }
    }
    const { localReads, requests } = await stats(2);
    assert.ok(localReads >= 40, `${localReads} reads were local`);
    // Requests are its writes; it made nothing, unless it looked for the last page before that had arrived.
    assert.ok(requests <= 2, `${requests} requests`);
    await ask(3, '/page/7', 'DELETE');
    await until(async () => (await page(1, 7)).from === 'made', 'it is made anew');
  });

  it('kill -9 of one: no read fails, nothing cached is lost, new pages are shared; it comes back with all', async () => {
    const from = { cache: 0, made: 0 };
    let reads = 0;
    let running = true;
    const load = [2, 3].map(async (n) => {
      for (let i = 0; running; i++) {
        // Page 7 was deleted before, and may be made anew by anybody.
        const id = ids[i % ids.length]!;
        if (id === 7) continue;
        const answer = await page(n, id);
        from[answer.from] += 1;
        reads += 1;
      }
    });
    try {
      await killAndRestart(() => reads);
    } finally {
      running = false;
    }
    await Promise.all(load);
    assert.equal(from.made, 0, 'nothing was made a second time');
    for (const n of [1, 2, 3]) assert.equal((await stats(n)).failures, 0);
  });

  async function killAndRestart(reads: () => number): Promise<void> {
    await until(() => reads() > 200, 'the load runs');
    await processes[0]!.end('SIGKILL');
    const readsAtKill = reads();
    await until(async () => !(await stats(2)).live.includes('app1'), 'its death is seen', 20_000);
    assert.equal((await page(2, 1000)).from, 'made');
    await until(async () => (await page(3, 1000)).madeBy === 'app2', 'the new page is shared');
    await until(() => reads() > readsAtKill + 500, 'the load goes on');

    processes[0] = start(1);
    await processes[0].says(/http:/);
    for (const n of [1, 2, 3]) {
      await until(async () => (await stats(n)).live.length === 3, `process ${n} sees all again`, 20_000);
    }
    // It reads through the others until its memory is whole again.
    for (const id of [...ids, 1000]) {
      if (id !== 7) assert.equal((await page(1, id)).from, 'cache', `page ${id}`);
    }
    await until(
      async () => {
        const before = await stats(1);
        await page(1, 1000);
        return (await stats(1)).localReads > before.localReads;
      },
      'it reads from its own memory again',
      30_000,
    );
  }
});
