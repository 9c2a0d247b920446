/**
 * Who holds what: the cluster's own table of slots, as `CLUSTER SLOTS` tells it, best node first.
 *
 * The picture: a street map that a node hands out. It is advice only: any node serves any key, at the
 * price of a hop, so an old map makes a request slower and never wrong.
 */

import { byteString, utf8Bytes, utf8Text } from '../src/base/bytes.ts';
import type { RespValue } from '../src/resp/value.ts';
import { SLOT_COUNT, slotOf } from '../src/ring/slots.ts';
import { DureError } from './errors.ts';

/** Any ring is told in far fewer ranges; more is not from a node of ours. */
const rangesMax = SLOT_COUNT;

export class Topology {
  /** Addresses (`host:port`) of those who serve some slot, in order. */
  readonly nodes: readonly string[];
  readonly #lists: readonly (readonly string[])[];
  /** The place of each list, by its addresses in one string. */
  readonly #places: ReadonlyMap<string, number>;
  /** Slot to list. */
  readonly #listOf: Uint16Array;

  constructor(ranges: readonly { from: number; to: number; nodes: readonly string[] }[]) {
    const lists: (readonly string[])[] = [[]];
    const listOf = new Uint16Array(SLOT_COUNT);
    const places = new Map([['', 0]]);
    for (const { from, to, nodes } of ranges) {
      const words = nodes.join(' ');
      let list = places.get(words);
      if (list === undefined) {
        list = lists.push(nodes) - 1;
        places.set(words, list);
      }
      listOf.fill(list, from, to + 1);
    }
    this.#lists = lists;
    this.#places = places;
    this.#listOf = listOf;
    this.nodes = [...new Set(lists.flat())].sort();
  }

  /** The nodes that hold a slot, best first; none for a slot that the table leaves out. */
  nodesOf(slot: number): readonly string[] {
    return this.#lists[this.#listOf[slot]!]!;
  }

  /** Whether both say the same of every slot. */
  equals(other: Topology): boolean {
    const placeHere = new Int32Array(other.#lists.length);
    for (const [words, place] of other.#places) placeHere[place] = this.#places.get(words) ?? -1;
    return this.#listOf.every((place, slot) => place === placeHere[other.#listOf[slot]!]);
  }
}

function textOf(value: RespValue | undefined): string {
  if (value instanceof Uint8Array) return utf8Text(value);
  return typeof value === 'string' ? value : '';
}

function malformed(): DureError {
  return new DureError('protocol', 'none', true, 'the answer to CLUSTER SLOTS is not understood');
}

/**
 * Reads the answer to `CLUSTER SLOTS`.
 * @param askedHost stands for a node that tells no host of its own
 * @throws DureError `protocol`
 */
export function readTopology(reply: RespValue, askedHost: string): Topology {
  if (!Array.isArray(reply) || reply.length > rangesMax) throw malformed();
  const ranges = (reply as readonly RespValue[]).map((range) => {
    if (!Array.isArray(range) || range.length < 3) throw malformed();
    const [from, to, ...nodes] = range as readonly RespValue[];
    if (typeof from !== 'number' || typeof to !== 'number') throw malformed();
    if (!(from >= 0 && from <= to && to < SLOT_COUNT)) throw malformed();
    return { from, to, nodes: nodes.map((node) => addressOf(node, askedHost)) };
  });
  return new Topology(ranges);
}

function addressOf(node: RespValue, askedHost: string): string {
  if (!Array.isArray(node)) throw malformed();
  const [host, port] = node as readonly RespValue[];
  if (typeof port !== 'number' || !(port > 0 && port < 65_536)) throw malformed();
  const address = joinAddress(textOf(host) || askedHost, port);
  if (splitAddress(address) === undefined) throw malformed();
  return address;
}

/** `host:port`, with brackets round an IPv6 address. */
export function joinAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Host and port of `host:port` or `[v6]:port`; undefined if it is not that. */
export function splitAddress(address: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) return undefined;
  return { host: (match[1] ?? match[2])!, port };
}

/** The slot of a key that is text: that of its bytes in UTF-8. */
export function slotOfText(key: string): number {
  for (let i = 0; i < key.length; i++) {
    if (key.charCodeAt(i) >= 0x80) return slotOf(byteString(utf8Bytes(key)));
  }
  return slotOf(key);
}
