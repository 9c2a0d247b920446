/**
 * The letter boxes between nodes that are moved by hand: a pipe a direction, in which frames lie until they
 * are delivered. A direction can be held (letters wait), dropped (letters burn), full, or cut (the pipe
 * breaks, and its owner is told).
 */

import assert from 'node:assert/strict';
import type { ByteReader } from '../../src/base/bytes.ts';
import { ByteWriter } from '../../src/base/bytes.ts';
import type { NodeId, TransportHandler } from '../../src/ports/transport.ts';
import { frameEpoch, frameHeaderBytes, frameLife, openFrame, sealFrame } from '../../src/wire/frame.ts';
import { readGossipTarget } from '../../src/wire/gossip-messages.ts';
import { HINT, readHint } from '../../src/wire/hint-messages.ts';
import {
  decodeMessages,
  FAMILY_GOSSIP,
  FAMILY_PAST,
  FAMILY_REPAIR,
  type MessageHandler,
} from '../../src/wire/messages.ts';
import { PAST_MARK, PAST_TELL, readPast, readPastTell } from '../../src/wire/past-messages.ts';

interface Pipe {
  up: boolean;
  cut: boolean;
  held: boolean;
  /** `send` answers false. */
  full: boolean;
  frames: Uint8Array[];
  /** Life and number of the last frame delivered or forged. */
  life: number;
  sequence: number;
}

function newPipe(): Pipe {
  return { up: false, cut: false, held: false, full: false, frames: [], life: 1, sequence: 0 };
}

/** Messages that come and go by themselves: not traced. */
const background: ReadonlySet<string> = new Set(['ping', 'pong', 'past']);

export abstract class PumpedNetwork {
  readonly #ids: NodeId[] = [];
  readonly #pipes: Map<string, Pipe> = new Map();
  /** Whom a node takes for members; one that is not named here knows everybody. */
  readonly #peers: Map<NodeId, ReadonlySet<NodeId>> = new Map();
  /** Nodes that speak this older protocol version: pipes from and to them do. Takes effect as pipes are opened. */
  readonly versions: Map<NodeId, number> = new Map();
  /** Told of each frame as it is delivered. */
  watch: ((from: NodeId, to: NodeId, frame: Uint8Array) => void) | undefined = undefined;
  /** Messages delivered, as `n1>n2 write`. Heartbeats and the like are left out. */
  trace: string[] = [];

  constructor(ids: readonly NodeId[]) {
    for (const id of ids) this.addId(id);
  }

  get ids(): readonly NodeId[] {
    return this.#ids;
  }

  /** Letter boxes for one node more. */
  protected addId(id: NodeId): void {
    for (const other of this.#ids) {
      this.#pipes.set(`${other}>${id}`, newPipe());
      this.#pipes.set(`${id}>${other}`, newPipe());
    }
    this.#ids.push(id);
  }

  /** Its letter boxes are taken down; the others hear that it died. */
  protected dropId(id: NodeId): void {
    this.breakAll(id);
    this.#ids.splice(this.#ids.indexOf(id), 1);
    this.#peers.delete(id);
    for (const other of this.#ids) {
      this.#pipes.delete(`${other}>${id}`);
      this.#pipes.delete(`${id}>${other}`);
    }
  }

  /** A pipe opens only between two that take each other for members. */
  #areLinked(a: NodeId, b: NodeId): boolean {
    return this.#peers.get(a)?.has(b) !== false && this.#peers.get(b)?.has(a) !== false;
  }

  /**
   * As `Transport.setPeers`: pipes to others end without a word, and the others hear that their pipes broke; what
   * is under way still arrives.
   */
  protected setPeers(id: NodeId, peers: readonly NodeId[]): void {
    this.#peers.set(id, new Set(peers));
    for (const other of this.#ids) {
      if (other === id || this.#areLinked(id, other)) continue;
      this.#pipe(id, other).up = false;
      const inward = this.#pipe(other, id);
      if (!inward.up) continue;
      inward.up = false;
      this.handlerOf(other)?.peerDown(id, 'the peer closed the connection');
    }
  }

  /** Whom to hand what a node is sent; undefined while it does not run. */
  protected abstract handlerOf(id: NodeId): TransportHandler | undefined;

  #pipe(from: NodeId, to: NodeId): Pipe {
    return this.#pipes.get(`${from}>${to}`)!;
  }

  protected send(from: NodeId, to: NodeId, frame: Uint8Array): boolean {
    const pipe = this.#pipes.get(`${from}>${to}`);
    if (pipe === undefined || !pipe.up || pipe.full) return false;
    pipe.frames.push(new Uint8Array(frame));
    return true;
  }

  /** The pipe breaks; its owner is told within the call: the hardest moment. It redials by itself. */
  protected break(from: NodeId, to: NodeId, reason: string): void {
    const pipe = this.#pipes.get(`${from}>${to}`);
    if (pipe === undefined) return;
    pipe.frames = [];
    if (!pipe.up) return;
    pipe.up = false;
    this.handlerOf(from)?.peerDown(to, reason);
  }

  /** A node that does not run any more: what it sent and is not delivered is lost, and the others are told. */
  protected breakAll(id: NodeId): void {
    for (const other of this.ids) {
      if (other === id) continue;
      const outgoing = this.#pipe(id, other);
      outgoing.up = false;
      outgoing.frames = [];
      this.break(other, id, 'the peer died');
    }
  }

  protected connect(): boolean {
    let connected = false;
    for (const [name, pipe] of this.#pipes) {
      const [from, to] = name.split('>') as [NodeId, NodeId];
      if (!this.#areLinked(from, to)) continue;
      const handler = this.handlerOf(from);
      if (pipe.up || pipe.cut || handler === undefined || this.handlerOf(to) === undefined) continue;
      pipe.up = true;
      connected = true;
      handler.peerUp(to, this.versions.get(from) ?? this.versions.get(to));
    }
    return connected;
  }

  /** Delivers one frame of each direction that is not held. False if there was none. */
  protected deliverOneEach(): boolean {
    let moved = false;
    for (const [name, pipe] of this.#pipes) {
      if (pipe.held || pipe.frames.length === 0) continue;
      const [from, to] = name.split('>') as [NodeId, NodeId];
      this.#hand(from, to, pipe.frames.shift()!);
      moved = true;
    }
    return moved;
  }

  /** A frame as `from` might have sent it to `to` just now, ahead of those that wait: for lies. */
  forge(from: NodeId, to: NodeId, write: (writer: ByteWriter) => void): Uint8Array {
    const pipe = this.#pipe(from, to);
    const writer = new ByteWriter();
    openFrame(writer);
    write(writer);
    return sealFrame(writer, pipe.life, ++pipe.sequence);
  }

  /** Frames wait from now on. */
  hold(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).held = true;
  }

  isHeld(from: NodeId, to: NodeId): boolean {
    return this.#pipe(from, to).held;
  }

  release(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).held = false;
  }

  releaseAll(): void {
    for (const pipe of this.#pipes.values()) pipe.held = false;
  }

  /** Loses the frames that wait. */
  drop(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).frames = [];
  }

  /** From now on `send` answers false. */
  full(from: NodeId, to: NodeId, full: boolean): void {
    this.#pipe(from, to).full = full;
  }

  cut(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).cut = true;
    this.break(from, to, 'cut');
  }

  heal(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).cut = false;
  }

  /** Cuts both directions to everybody else. */
  isolate(id: NodeId): void {
    for (const other of this.ids) {
      if (other === id) continue;
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  healAll(): void {
    for (const pipe of this.#pipes.values()) pipe.cut = false;
  }

  /** The frames that wait in a direction. */
  waiting(from: NodeId, to: NodeId): readonly Uint8Array[] {
    return this.#pipe(from, to).frames;
  }

  /** Delivers the oldest frame of a direction, held or not. */
  deliver(from: NodeId, to: NodeId): void {
    const frame = this.#pipe(from, to).frames.shift();
    assert.ok(frame !== undefined, `a frame waits from ${from} to ${to}`);
    this.#hand(from, to, frame);
  }

  #hand(from: NodeId, to: NodeId, frame: Uint8Array): void {
    this.watch?.(from, to, frame);
    for (const name of messageNames(frame)) {
      if (!background.has(name)) this.trace.push(`${from}>${to} ${name}`);
    }
    const pipe = this.#pipe(from, to);
    if (pipe.life !== frameLife(frame)) pipe.sequence = 0;
    pipe.life = frameLife(frame);
    // Numbered anew as it is handed over, so that forged frames find a place among the others.
    const writer = new ByteWriter(frame.length);
    openFrame(writer, frame[8]);
    writer.raw(frame.subarray(frameHeaderBytes(frame)));
    const numbered = sealFrame(writer, pipe.life, ++pipe.sequence, frameEpoch(frame));
    this.handlerOf(to)?.frame(from, numbered);
  }

  /** Whole again: nothing is held, full or cut. */
  protected mendAll(): void {
    this.releaseAll();
    this.healAll();
    for (const pipe of this.#pipes.values()) pipe.full = false;
  }
}

/** Names of the messages of a frame, in order; those of a family are called by the family. */
export function messageNames(frame: Uint8Array): string[] {
  const names: string[] = [];
  const handler = new Proxy({} as MessageHandler<undefined>, {
    get:
      (_target, name) =>
      (...args: unknown[]) => {
        if (name === 'family') names.push(skipFamily(args[1] as number, args[3] as ByteReader));
        else names.push(String(name));
      },
  });
  decodeMessages(frame, undefined, handler);
  return names;
}

/** Reads the body of a message of a family. One nobody knows here ends the list: it has no length. */
function skipFamily(type: number, reader: ByteReader): string {
  if (type === HINT) {
    readHint(reader);
    return 'hint';
  }
  if (Math.floor(type / 10) === FAMILY_GOSSIP) {
    readGossipTarget(reader);
    return 'ping';
  }
  if (Math.floor(type / 10) === FAMILY_REPAIR) {
    reader.blobReader();
    return 'repair';
  }
  if (Math.floor(type / 10) !== FAMILY_PAST) {
    reader.offset = reader.end;
    return 'family';
  }
  if (type === PAST_TELL) readPastTell(reader);
  else if (type === PAST_MARK) readPast(reader);
  return 'past';
}
