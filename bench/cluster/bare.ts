/**
 * The least a replicated store in Node.js has to do: what the language and the machine allow, and so
 * the yardstick for what Dure adds to it.
 *
 * Three of these processes parse `SET key value` (by length, nothing else is understood), send the
 * command's bytes to the two others, append them to a log file, and answer at two acknowledgements of
 * three. There is no index, no read, no merge, no checksum, no repair and no error path. With
 * `--memory` it is a single process with a Map instead, for GET and SET.
 *
 * The picture to have in mind: everything happens once a turn of the event loop, not once a command.
 * Commands of a turn go out as one write a peer; the log has one batch under way while the next one
 * gathers; a peer acknowledges with one number, "all of yours up to here"; and an operation is done
 * when the second largest of the three numbers has reached it.
 *
 * `bare.ts --port P [--peer-port Q --peers Q2,Q3 --log FILE --sync always|interval] [--memory]`
 */

import { closeSync, fdatasync, openSync, writev } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    port: { type: 'string' },
    'peer-port': { type: 'string', default: '0' },
    peers: { type: 'string', default: '' },
    log: { type: 'string', default: '' },
    sync: { type: 'string', default: 'interval' },
    memory: { type: 'boolean', default: false },
  },
});

/** The log starts over at its beginning here, so that a benchmark does not fill the disk. */
const logBytesMax = 256 * 1024 * 1024;
const syncIntervalMs = 1000;
const ok = Buffer.from('+OK\r\n');
const none = Buffer.from('$-1\r\n');
const crlf = Buffer.from('\r\n');

/** What is written to a socket in this turn, sent as one write at its end. */
class Outbox {
  readonly #socket: Socket;
  #corked = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  write(bytes: Uint8Array): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }
}

/** Appends in groups: one batch is written (and synced) while the next one gathers. */
class GroupLog {
  readonly #file: number;
  readonly #always: boolean;
  #gathering: Uint8Array[] = [];
  #whenDone: (() => void)[] = [];
  #busy = false;
  #scheduled = false;
  #at = 0;

  constructor(path: string, always: boolean) {
    this.#file = openSync(path, 'w');
    this.#always = always;
    if (!always) setInterval(() => fdatasync(this.#file, () => {}), syncIntervalMs).unref();
  }

  append(bytes: Uint8Array, done: () => void): void {
    this.#gathering.push(bytes);
    this.#whenDone.push(done);
    if (this.#busy || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#write();
    });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(): void {
    const batch = this.#gathering;
    const done = this.#whenDone;
    this.#gathering = [];
    this.#whenDone = [];
    this.#busy = true;
    if (this.#at > logBytesMax) this.#at = 0;
    writev(this.#file, batch, this.#at, (error, written) => {
      if (error !== null) throw error;
      this.#at += written;
      if (!this.#always) this.#written(done);
      else
        fdatasync(this.#file, (failed) => {
          if (failed !== null) throw failed;
          this.#written(done);
        });
    });
  }

  #written(done: readonly (() => void)[]): void {
    this.#busy = false;
    for (const each of done) each();
    if (this.#gathering.length > 0 && !this.#busy) this.#write();
  }
}

/** Cuts a stream into pieces; `cut` returns a piece's end, or -1 when it is not all there. */
function pieces(
  socket: Socket,
  cut: (bytes: Buffer, at: number) => number,
  take: (bytes: Buffer, at: number, end: number) => void,
): void {
  let carry: Buffer | undefined;
  socket.on('data', (chunk: Buffer) => {
    const bytes = carry === undefined ? chunk : Buffer.concat([carry, chunk]);
    let at = 0;
    while (at < bytes.length) {
      const end = cut(bytes, at);
      if (end < 0) break;
      take(bytes, at, end);
      at = end;
    }
    carry = at === bytes.length ? undefined : bytes.subarray(at);
  });
  socket.on('error', () => socket.destroy());
}

/** Where the items of the command last cut begin and end: `item[1]` is the key, `item[2]` the value. */
const itemAt = [0, 0, 0, 0];
const itemEnd = [0, 0, 0, 0];

function lineNumber(bytes: Buffer, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = at; index < bytes.length - 1; index += 1) {
    const byte = bytes[index]!;
    if (byte === 13) return { value, end: index + 2 };
    value = value * 10 + byte - 48;
  }
  return undefined;
}

function cutCommand(bytes: Buffer, at: number): number {
  const count = lineNumber(bytes, at + 1);
  if (count === undefined) return -1;
  let position = count.end;
  for (let item = 0; item < count.value; item += 1) {
    if (position >= bytes.length) return -1;
    const length = lineNumber(bytes, position + 1);
    if (length === undefined) return -1;
    itemAt[item] = length.end;
    itemEnd[item] = length.end + length.value;
    position = length.end + length.value + 2;
    if (position > bytes.length) return -1;
  }
  return position;
}

function cutFrame(bytes: Buffer, at: number): number {
  if (bytes.length - at < 4) return -1;
  const end = at + 4 + bytes.readUInt32BE(at);
  return end > bytes.length ? -1 : end;
}

/** Dials until somebody answers. */
function dial(port: number, connected: (socket: Socket) => void): void {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const again = () => setTimeout(() => dial(port, connected), 50);
  socket.once('error', again);
  socket.once('connect', () => {
    socket.off('error', again);
    connected(socket);
  });
}

/** A peer this process dialled: it gets the commands and answers with how many it has appended. */
class Peer {
  readonly #outbox: Outbox;
  acknowledged = 0;

  constructor(socket: Socket, moved: () => void) {
    this.#outbox = new Outbox(socket);
    pieces(
      socket,
      (bytes, at) => (bytes.length - at < 4 ? -1 : at + 4),
      (bytes, at) => {
        this.acknowledged = bytes.readUInt32BE(at);
        moved();
      },
    );
  }

  send(command: Uint8Array): void {
    const head = Buffer.allocUnsafe(4);
    head.writeUInt32BE(command.length);
    this.#outbox.write(head);
    this.#outbox.write(command);
  }
}

function serveReplicated(): void {
  const log = new GroupLog(options.log, options.sync === 'always');
  const waiting: Outbox[] = [];
  let waitingFrom = 0;
  let sequence = 0;
  let own = 0;
  const answer = () => {
    const [a, b] = [peers[0]!.acknowledged, peers[1]!.acknowledged];
    const twoOfThree = Math.max(Math.min(a, b), Math.min(Math.max(a, b), own));
    const answerable = waiting.length - (sequence - twoOfThree);
    while (waitingFrom < answerable) {
      waiting[waitingFrom]!.write(ok);
      waitingFrom += 1;
    }
    if (waitingFrom < 4096) return;
    waiting.splice(0, waitingFrom);
    waitingFrom = 0;
  };
  const peers: Peer[] = [];
  for (const port of options.peers.split(',')) {
    dial(Number(port), (socket) => {
      peers.push(new Peer(socket, answer));
      // A command that a peer missed would never be acknowledged: no clients before both are there.
      if (peers.length === 2) clients.listen({ port: Number(options.port), host: '127.0.0.1' });
    });
  }
  createServer({ noDelay: true }, (socket) => {
    const outbox = new Outbox(socket);
    let appended = 0;
    pieces(socket, cutFrame, (bytes, at, end) => {
      log.append(bytes.subarray(at + 4, end), () => {
        appended += 1;
        scheduleAck();
      });
    });
    let scheduled = false;
    const scheduleAck = () => {
      if (scheduled) return;
      scheduled = true;
      setImmediate(() => {
        scheduled = false;
        const ack = Buffer.allocUnsafe(4);
        ack.writeUInt32BE(appended);
        outbox.write(ack);
      });
    };
  }).listen({ port: Number(options['peer-port']), host: '127.0.0.1' });
  const clients = createServer({ noDelay: true }, (socket) => {
    const outbox = new Outbox(socket);
    pieces(socket, cutCommand, (bytes, at, end) => {
      const command = bytes.subarray(at, end);
      sequence += 1;
      waiting.push(outbox);
      for (const peer of peers) peer.send(command);
      log.append(command, () => {
        own += 1;
        answer();
      });
    });
  });
}

function serveMemory(): void {
  const map = new Map<string, Buffer>();
  createServer({ noDelay: true }, (socket) => {
    const outbox = new Outbox(socket);
    pieces(socket, cutCommand, (bytes) => {
      const key = bytes.toString('latin1', itemAt[1]!, itemEnd[1]!);
      if (bytes[itemAt[0]!]! === 0x53) {
        map.set(key, Buffer.from(bytes.subarray(itemAt[2]!, itemEnd[2]!)));
        outbox.write(ok);
        return;
      }
      const value = map.get(key);
      if (value === undefined) {
        outbox.write(none);
        return;
      }
      outbox.write(Buffer.from(`$${value.length}\r\n`, 'latin1'));
      outbox.write(value);
      outbox.write(crlf);
    });
  }).listen({ port: Number(options.port), host: '127.0.0.1' });
}

if (options.memory) serveMemory();
else serveReplicated();
process.on('SIGTERM', () => process.exit(0));
