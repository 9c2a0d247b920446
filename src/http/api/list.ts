/**
 * `GET /v1/keys`: keys by prefix, a page at a time.
 *
 * The cluster keeps keys in the order of their slots, not of their text, so a listing walks all of them and shows
 * those with the prefix. A page does a bounded part of that walk (`roundsMax` scans) and then answers with what
 * it met: perhaps nothing, and a cursor to go on from. Only a prefix with a whole hash tag (`{user:7}:`) names its
 * slot, and is found at once. A key that is there during the whole listing is listed; one may be listed twice.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ByteString } from '../../base/bytes.ts';
import { byteString, utf8Bytes } from '../../base/bytes.ts';
import { murmur3 } from '../../base/murmur3.ts';
import type { NodeApi, RequestOptions, ScanPage } from '../../node/api.ts';
import { SLOT_COUNT, slotOf } from '../../ring/slots.ts';
import { cursorText, positionOf } from './cursor.ts';
import { bytesOfBase64, type KeyJson, keyJson } from './key.ts';
import { Problem } from './problem.ts';
import { optionsOf } from './request-options.ts';
import { checked, LIST_LIMIT_DEFAULT, type ListQuery, QUERIES } from './schemas.ts';

/** Scans that one page may cost. */
const roundsMax = 16;
/** Keys that one scan is to meet at most: more than are wanted, where a prefix leaves most of them out. */
const keysPerRound = 1000;
const placesPerSlot = 2 ** 32;
/** A page that was not given a time takes at most so long, milliseconds. */
const pageMsMax = 1000;

interface Page {
  readonly keys: readonly KeyJson[];
  readonly cursor: string | null;
}

/** Adds the route. */
export function addList(app: FastifyInstance, node: NodeApi): void {
  app.get('/keys', async (request: FastifyRequest, reply) => {
    const page = await list(node, checked(QUERIES.list, request.query, 'query'));
    return reply.header('cache-control', 'private, no-store').send(page);
  });
}

function scan(node: NodeApi, cursor: number, count: number, options: RequestOptions): Promise<ScanPage> {
  return new Promise((resolve, reject) => {
    node.scan(cursor, count, options, (error, page) => {
      if (error === undefined) resolve(page!);
      else reject(error);
    });
  });
}

function prefixOf({ prefix, prefixBase64 }: ListQuery): ByteString {
  if (prefix !== undefined && prefixBase64 !== undefined) {
    throw new Problem('invalid', 'prefix and prefixBase64 exclude each other');
  }
  if (prefixBase64 === undefined) return byteString(utf8Bytes(prefix ?? ''));
  const bytes = bytesOfBase64(prefixBase64);
  if (bytes === undefined) throw new Problem('invalid', 'prefixBase64 is not base64');
  return byteString(bytes);
}

/** The part of the walk that can meet keys with a prefix: positions from and to. */
function rangeOf(prefix: ByteString): readonly [number, number] {
  const open = prefix.indexOf('{');
  const close = prefix.indexOf('}', open);
  if (open < 0 || close <= open + 1) return [0, SLOT_COUNT * placesPerSlot];
  const slot = slotOf(prefix);
  return [slot * placesPerSlot, (slot + 1) * placesPerSlot];
}

/** A key with its place on the walk. */
interface Met {
  readonly key: ByteString;
  readonly position: number;
}

const metAt = (key: ByteString): Met => ({ key, position: slotOf(key) * placesPerSlot + murmur3(key) });

async function list(node: NodeApi, query: ListQuery): Promise<Page> {
  const prefix = prefixOf(query);
  const [from, end] = rangeOf(prefix);
  const limit = query.limit ?? LIST_LIMIT_DEFAULT;
  const options = optionsOf(node, prefix, query);
  const deadline = node.monotonic() + (options.timeoutMs ?? pageMsMax);
  let position = query.cursor === undefined ? from : positionOf(query.cursor, prefix);
  let count = limit;
  const met: Met[] = [];
  for (let round = 0; round < roundsMax && met.length < limit; round++) {
    const timeoutMs = deadline - node.monotonic();
    if (round > 0 && timeoutMs <= 0) break;
    let page: ScanPage;
    try {
      page = await scan(node, position, count, { ...options, timeoutMs: Math.max(1, timeoutMs) });
    } catch (error) {
      // What was met is shown, and the next page says what is wrong if it still is.
      if (met.length === 0) throw error;
      break;
    }
    for (const { key } of page.entries) if (key.startsWith(prefix)) met.push(metAt(key));
    position = page.cursor === 0 ? end : page.cursor;
    if (position >= end) break;
    // Few of those met have the prefix, or the next round would not be needed.
    count = Math.min(keysPerRound, count * 4);
  }
  return pageOf(met, limit, position >= end ? undefined : position, prefix);
}

/**
 * The first keys of those met.
 * @param next where the walk goes on after all that were met; undefined at its end
 */
function pageOf(met: Met[], limit: number, next: number | undefined, prefix: ByteString): Page {
  met.sort((a, b) => a.position - b.position);
  let shown = Math.min(limit, met.length);
  // Keys at one position cannot be told apart by a cursor: they go on the same page, hash collisions as they are.
  while (shown > 0 && shown < met.length && met[shown]!.position === met[shown - 1]!.position) shown++;
  const position = shown < met.length ? met[shown]!.position : next;
  return {
    keys: met.slice(0, shown).map(({ key }) => keyJson(key)),
    cursor: position === undefined ? null : cursorText(position, prefix),
  };
}
