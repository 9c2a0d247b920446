/**
 * A terminal to one node, as `redis-cli` is: a command goes out, its reply comes back, and is shown as redis-cli
 * shows it. Any Redis client would do; this one sends nothing twice and hides nothing, which is what one wants
 * when one looks at what happens while a network is cut.
 */

import { connect, type Socket } from 'node:net';
import { utf8Text } from '../../src/base/bytes.ts';
import { ReplyParser } from '../../src/resp/reply-parser.ts';
import { ErrorReply, type RespValue, SimpleString } from '../../src/resp/value.ts';

/** What a command was answered. */
export interface Answer {
  /** `TRYAGAIN`, `UNKNOWN`, … of an error; empty of any other reply. */
  readonly code: string;
  /** In one line, strings without quotation marks. */
  readonly text: string;
  readonly reply: RespValue;
  /** From the request to its reply, milliseconds. */
  readonly tookMs: number;
}

/** A command without a reply for so long is given up, milliseconds; a node answers every request within 1 s. */
const patienceMs = 10_000;

const end = Buffer.from('\r\n');

function bytesOf(word: string | Uint8Array): Uint8Array {
  return typeof word === 'string' ? Buffer.from(word) : word;
}

export class Terminal {
  readonly #socket: Socket;
  readonly #waiting: ((reply: RespValue | Error) => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    const parser = new ReplyParser();
    socket.on('data', (chunk) => {
      parser.push(chunk);
      for (let reply = parser.next(); reply !== undefined; reply = parser.next()) {
        this.#waiting.shift()?.(reply);
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const done of this.#waiting.splice(0)) done(new Error('the connection was closed'));
    });
  }

  static open(port: number): Promise<Terminal> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Terminal(socket));
      });
    });
  }

  /** Sends a command. Rejects only when the connection ends or stays silent: error replies are answers. */
  async ask(...words: readonly (string | Uint8Array)[]): Promise<Answer> {
    const from = performance.now();
    const reply = await new Promise<RespValue>((resolve, reject) => {
      const timer = setTimeout(() => this.#socket.destroy(), patienceMs);
      this.#waiting.push((answer) => {
        clearTimeout(timer);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      });
      const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)];
      for (const word of words)
        parts.push(Buffer.from(`$${Buffer.byteLength(word)}\r\n`), bytesOf(word), end);
      this.#socket.write(Buffer.concat(parts));
    });
    const tookMs = performance.now() - from;
    return { code: reply instanceof ErrorReply ? reply.code : '', text: replyText(reply), reply, tookMs };
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A reply in one line. */
export function replyText(reply: RespValue): string {
  return textOf(reply, (text) => text);
}

/** The same with strings in quotation marks, as redis-cli prints them. */
export function replyShown(reply: RespValue): string {
  return textOf(reply, (text) => JSON.stringify(text));
}

function textOf(reply: RespValue, stringText: (text: string) => string): string {
  if (reply === null) return '(nil)';
  if (typeof reply === 'number') return `(integer) ${reply}`;
  if (reply instanceof ErrorReply) return `(error) ${reply.text}`;
  if (reply instanceof SimpleString) return reply.text;
  if (reply instanceof Uint8Array) return stringText(utf8Text(reply));
  if (!Array.isArray(reply)) return String(reply);
  return `[${reply.map((item) => textOf(item as RespValue, stringText)).join(', ')}]`;
}
