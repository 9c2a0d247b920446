/**
 * What `If-Match` and `If-None-Match: *` must hold to, checked through any door: the HTTP door over a node in
 * memory, over broken ones (the check must notice), and of a real cluster.
 */

import assert from 'node:assert/strict';

/** A key of one door or of several. */
export interface MatchedKey {
  /** Writes `value` as writer number `writer`; gives the status. */
  put(writer: number, value: string, headers: Readonly<Record<string, string>>): Promise<number>;
  /** `etag` is empty for no such key. */
  get(): Promise<{ readonly etag: string; readonly value: string }>;
}

const wrote = (status: number): boolean => status === 204 || status === 201;

/** All writers expect the same of the key at once: one wins, its value stays, and the others are told 412. */
export async function checkOneWins(
  key: MatchedKey,
  headers: Readonly<Record<string, string>>,
  writers = 24,
): Promise<void> {
  const writes = Array.from({ length: writers }, (_, writer) => key.put(writer, `by ${writer}`, headers));
  const statuses = await Promise.all(writes);
  const winners = statuses.flatMap((status, writer) => (wrote(status) ? [writer] : []));
  assert.equal(winners.length, 1, `just one wins, not ${winners.length}: ${statuses}`);
  assert.ok(
    statuses.every((status) => wrote(status) || status === 412),
    `the others are told 412: ${statuses}`,
  );
  assert.equal((await key.get()).value, `by ${winners[0]}`);
}

/** What was read is overwritten only while it is the newest: a write in between, even of the same bytes, is told. */
export async function checkChangeIsTold(key: MatchedKey): Promise<void> {
  assert.equal(await key.put(0, 'first', {}), 204);
  const { etag: first } = await key.get();
  assert.equal(await key.put(0, 'second', { 'if-match': first }), 204, 'nobody wrote in between');
  assert.equal(await key.put(1, 'late', { 'if-match': first }), 412, 'somebody wrote in between');
  const { etag: second } = await key.get();
  assert.equal(await key.put(1, 'second', {}), 204);
  assert.equal(await key.put(0, 'late', { 'if-match': second }), 412, 'the same bytes, written again');
  assert.equal((await key.get()).value, 'second');
  await checkOneWins(key, { 'if-match': (await key.get()).etag });
}

/** Workers that count up by reading and writing with `If-Match` lose no increment. Gives how often they collided. */
export async function checkCounter(key: MatchedKey, workers: number, increments: number): Promise<number> {
  assert.equal(await key.put(0, '0', {}), 204);
  let collisions = 0;
  const work = async (worker: number): Promise<void> => {
    for (let done = 0; done < increments; ) {
      const { etag, value } = await key.get();
      const status = await key.put(worker, String(Number(value) + 1), { 'if-match': etag });
      assert.ok(status === 204 || status === 412, String(status));
      if (status === 204) done++;
      else collisions++;
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  assert.equal((await key.get()).value, String(workers * increments), 'no increment is lost');
  return collisions;
}
