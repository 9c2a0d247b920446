/**
 * Random commands for comparing with a real Redis: mostly sensible, often a little wrong. One seed gives
 * the same commands.
 */

import type { Prng } from '../../src/base/prng.ts';

const keys = ['a', 'b', 'c', 'd', '{t}1', '{t}2', 'a b', 'ключ', 'k[1]', 'k*'];

const values = [
  '',
  '0',
  '1',
  '-1',
  '10',
  '007',
  '+5',
  '-0',
  ' 3',
  '3 ',
  '1.5',
  '-2.25',
  '3.0',
  '0.1',
  '1e3',
  '5e-3',
  '.5',
  '7.',
  'inf',
  '-Infinity',
  'nan',
  'hello',
  'Hello World',
  'ünï\u{1f600}',
  '\0binary\r\n',
  'x'.repeat(44),
  'x'.repeat(45),
  'y'.repeat(300),
  '9223372036854775807',
  '-9223372036854775808',
  '9223372036854775808',
  '9223372036854775806',
  '12345678901234567890123',
  '99999999999999999.5',
  '123456789012345678.125',
  '1e300',
  '1e4932',
  '1e5000',
  '1e-5000',
];

const integers = [
  '0',
  '1',
  '-1',
  '2',
  '5',
  '-5',
  '100',
  '-100',
  '9223372036854775807',
  '-9223372036854775808',
];

const patterns = [
  '*',
  'a*',
  '?',
  '[a-c]',
  '[^a]',
  'k\\*',
  'k[[]1]',
  '{t}?',
  '*b',
  '**',
  '',
  '[',
  '[^',
  'a[',
  '[c-a]',
  '\\',
];

const junk = ['', 'foo', 'NX', 'EX', '10', 'abc', '-1', 'GET', 'PERSIST', '1.5', '*'];

/** Draws commands. Times of expiry never repeat, so that no two runs differ by the moment they ran in. */
export class RandomCommands {
  readonly #random: Prng;
  #expiry = 0;

  constructor(random: Prng) {
    this.#random = random;
  }

  next(): string[] {
    const random = this.#random;
    const args = random.pick(makers)(this).flat();
    if (random.chance(0.08)) args.splice(random.between(1, args.length), 0, random.pick(junk));
    if (random.chance(0.05) && args.length > 1) args.splice(random.between(1, args.length - 1), 1);
    if (random.chance(0.03)) args.push(random.pick(junk));
    args[0] = this.cased(args[0]!);
    return args;
  }

  key(): string {
    return this.#random.pick(keys);
  }

  value(): string {
    return this.#random.pick(values);
  }

  integer(): string {
    return this.#random.chance(0.15) ? this.value() : this.#random.pick(integers);
  }

  small(): string {
    return this.#random.chance(0.1) ? this.value() : String(this.#random.between(-12, 20));
  }

  pattern(): string {
    return this.#random.pick(patterns);
  }

  cased(word: string): string {
    return this.#random.chance(0.3) ? word.toUpperCase() : this.#random.chance(0.2) ? title(word) : word;
  }

  maybe(chance: number, ...words: string[]): string[] {
    return this.#random.chance(chance) ? words : [];
  }

  oneOf(...words: string[]): string {
    return this.cased(this.#random.pick(words));
  }

  some(make: () => string[], most = 4): string[] {
    return Array.from({ length: this.#random.between(1, most) }, make).flat();
  }

  /** A time from now in seconds: now and then wrong or past. */
  seconds(): string {
    if (this.#random.chance(0.25)) {
      return this.#random.pick([
        '0',
        '-1',
        'x',
        '1.5',
        '',
        '9223372036854775807',
        '9223372036854775',
        '-9223372036854775808',
      ]);
    }
    return String(this.#distant());
  }

  milliseconds(): string {
    if (this.#random.chance(0.25)) {
      return this.#random.pick([
        '0',
        '-1',
        'x',
        '9223372036854775807',
        '9223372036854775800',
        '-9223372036854775808',
      ]);
    }
    return String(this.#distant() * 1000);
  }

  unixSeconds(): string {
    if (this.#random.chance(0.25))
      return this.#random.pick(['0', '-1', '1', '1000', 'x', '9223372036854775807']);
    return String(4_000_000_000 + this.#distant());
  }

  unixMilliseconds(): string {
    if (this.#random.chance(0.25))
      return this.#random.pick(['0', '-1', '1', '1000', 'x', '-9223372036854775808']);
    return String((4_000_000_000 + this.#distant()) * 1000);
  }

  expiry(): string[] {
    return this.#random.pick([
      () => [this.oneOf('EX'), this.seconds()],
      () => [this.oneOf('PX'), this.milliseconds()],
      () => [this.oneOf('EXAT'), this.unixSeconds()],
      () => [this.oneOf('PXAT'), this.unixMilliseconds()],
    ])();
  }

  /** Unlike every other, by at least 20, in a random order. */
  #distant(): number {
    this.#expiry++;
    return 10_000 + ((this.#expiry * 7919) % 1_000_003) * 20;
  }
}

function title(word: string): string {
  return `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`;
}

type Maker = (c: RandomCommands) => (string | string[])[];

const makers: readonly Maker[] = [
  (c) => ['get', c.key()],
  (c) => ['set', c.key(), c.value()],
  (c) => ['set', c.key(), c.value()],
  (c) => [
    'set',
    c.key(),
    c.value(),
    c.maybe(0.4, c.oneOf('NX', 'XX')),
    c.maybe(0.3, c.oneOf('GET')),
    c.maybe(0.4, ...c.expiry()),
    c.maybe(0.2, c.oneOf('KEEPTTL', 'PERSIST', 'NX', 'XX')),
  ],
  (c) => ['setnx', c.key(), c.value()],
  (c) => ['setex', c.key(), c.seconds(), c.value()],
  (c) => ['psetex', c.key(), c.milliseconds(), c.value()],
  (c) => ['getex', c.key(), c.maybe(0.5, ...c.expiry()), c.maybe(0.2, c.oneOf('PERSIST'))],
  (c) => ['getdel', c.key()],
  (c) => ['getset', c.key(), c.value()],
  (c) => ['mget', c.some(() => [c.key()])],
  (c) => ['mset', c.some(() => [c.key(), c.value()])],
  (c) => ['msetnx', c.some(() => [c.key(), c.value()])],
  (c) => ['strlen', c.key()],
  (c) => ['append', c.key(), c.value()],
  (c) => [c.oneOf('getrange', 'substr'), c.key(), c.small(), c.small()],
  (c) => [
    'setrange',
    c.key(),
    c.oneOf('0', '1', '5', '20', '-1', 'x', '536870912', '9223372036854775807'),
    c.value(),
  ],
  (c) => [c.oneOf('incr', 'decr'), c.key()],
  (c) => [c.oneOf('incrby', 'decrby'), c.key(), c.integer()],
  (c) => ['incrbyfloat', c.key(), c.value()],
  (c) => ['incrbyfloat', c.key(), c.value()],
  (c) => [c.oneOf('del', 'unlink', 'exists', 'touch'), c.some(() => [c.key()])],
  (c) => ['type', c.key()],
  (c) => ['expire', c.key(), c.seconds(), c.maybe(0.5, c.oneOf('NX', 'XX', 'GT', 'LT'))],
  (c) => ['pexpire', c.key(), c.milliseconds(), c.maybe(0.5, c.oneOf('NX', 'XX', 'GT', 'LT'))],
  (c) => ['expireat', c.key(), c.unixSeconds(), c.some(() => c.maybe(0.4, c.oneOf('NX', 'XX', 'GT', 'LT')))],
  (c) => [
    'pexpireat',
    c.key(),
    c.unixMilliseconds(),
    c.some(() => c.maybe(0.4, c.oneOf('NX', 'XX', 'GT', 'LT'))),
  ],
  (c) => [c.oneOf('ttl', 'pttl', 'expiretime', 'pexpiretime', 'persist'), c.key()],
  (c) => [c.oneOf('rename', 'renamenx'), c.key(), c.key()],
  (c) => [
    'copy',
    c.key(),
    c.key(),
    c.maybe(0.3, c.oneOf('REPLACE')),
    c.maybe(0.2, 'DB', c.oneOf('0', '1', '-1', 'x')),
  ],
  (c) => ['keys', c.pattern()],
  (c) => [
    'scan',
    c.oneOf('0', '0', 'x', '-1', '', '1.5', ' 1'),
    c.maybe(0.5, 'COUNT', c.oneOf('1000', '0', '-1', 'x')),
    c.maybe(0.5, 'MATCH', c.pattern()),
    c.maybe(0.3, 'TYPE', c.oneOf('string', 'hash', 'foo')),
  ],
  () => ['dbsize'],
  (c) => ['object', c.oneOf('encoding', 'refcount', 'freq', 'idletime', 'foo'), c.key()],
  (c) => ['memory', c.oneOf('usage', 'foo'), c.key(), c.maybe(0.3, 'SAMPLES', c.small())],
  (c) => [c.oneOf('ping', 'echo'), c.maybe(0.8, c.value())],
  (c) => ['select', c.oneOf('0', '0', '1', '-1', 'x', '99999999999')],
  (c) => [
    'client',
    c.oneOf('getname', 'setname', 'no-evict', 'foo'),
    c.maybe(0.8, c.oneOf('name', 'a b', '', 'on', 'off')),
  ],
  (c) => [
    'client',
    'kill',
    c.oneOf('ID', 'ADDR', 'TYPE', 'USER', 'LADDR', 'SKIPME'),
    c.oneOf('0', 'x', '999999', 'normals', '1.1.1.1:1', 'yes', 'pubsub'),
  ],
  (c) => ['client', 'list', c.oneOf('ID', 'TYPE', 'foo'), c.oneOf('x', '99999', 'pubsub', 'foos')],
  (c) => [
    'hello',
    c.oneOf('1', '4', 'x', '2', '3'),
    c.maybe(0.7, c.oneOf('AUTH', 'SETNAME', 'foo')),
    c.maybe(0.7, c.oneOf('nobody', 'x y')),
    c.maybe(0.4, 'pw'),
  ],
  (c) => ['auth', c.value(), c.maybe(0.3, 'pw')],
  (c) => ['wait', c.oneOf('0', 'x', '-1'), c.oneOf('0', '10', '-1', 'x')],
  (c) => [
    'command',
    c.oneOf('getkeys', 'getkeys', 'foo'),
    c.oneOf('get', 'mset', 'mget', 'ping', 'nope', 'set', 'rename'),
    c.some(() => [c.key()]),
  ],
  (c) => ['command', 'list', c.maybe(0.7, c.oneOf('FILTERBY', 'foo')), c.oneOf('MODULE', 'bar'), 'x'],
  (c) => ['cluster', 'keyslot', c.key()],
  (c) => [
    'config',
    'set',
    c.oneOf('nosuch', 'auto-aof-rewrite-min-size', 'timeout', 'appendfsync', 'databases', 'TimeOut'),
    c.oneOf('x', '0', '-5', '10', '1kb', '7zb', 'everysec', '99999999999'),
  ],
  (c) => [c.oneOf('flushall', 'flushdb'), c.oneOf('ASYNC', 'SYNC', 'foo')],
  (c) => [c.oneOf('foo', 'get2', '', 'g', 'sett'), c.some(() => [c.value()])],
];
