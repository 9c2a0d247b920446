/**
 * Syntax: the arguments of a command in one line, as documentation writes them, read into the tree that
 * COMMAND DOCS answers and redis-cli makes its hints from.
 *
 * ```
 * key value [condition=NX|XX] [GET] [expiration=EX seconds|PX milliseconds|KEEPTTL]
 * ```
 *
 * Small letters name an argument, capitals are words of the command as they are typed. `[…]` may be left
 * out, `a|b` is one of them, `(…)` groups, `…...` may be repeated, `name=` names a group, `name:type`
 * gives a type other than the usual one of that name (`usualTypes`) or `string`.
 */

import { assert } from '../base/assert.ts';

/** An argument as COMMAND DOCS describes it. */
export interface Argument {
  readonly name: string;
  readonly type: string;
  readonly token: string | undefined;
  readonly optional: boolean;
  readonly multiple: boolean;
  /** The alternatives of a `oneof`, the parts of a `block`. */
  readonly arguments: readonly Argument[];
}

const usualTypes: ReadonlyMap<string, string> = new Map([
  ['key', 'key'],
  ['newkey', 'key'],
  ['source', 'key'],
  ['destination', 'key'],
  ['pattern', 'pattern'],
  ['seconds', 'integer'],
  ['milliseconds', 'integer'],
  ['increment', 'integer'],
  ['decrement', 'integer'],
  ['offset', 'integer'],
  ['start', 'integer'],
  ['end', 'integer'],
  ['count', 'integer'],
  ['cursor', 'integer'],
  ['numreplicas', 'integer'],
  ['timeout', 'integer'],
  ['index', 'integer'],
  ['slot', 'integer'],
  ['protover', 'integer'],
  ['client-id', 'integer'],
  ['destination-db', 'integer'],
  ['unix-time-seconds', 'unix-time'],
  ['unix-time-milliseconds', 'unix-time'],
]);

const tokenPattern = /\.\.\.|[[\]()|=]|[^\s[\]()|=.]+(?:\.(?!\.\.)[^\s[\]()|=.]+)*/g;

/** Reads a line of syntax. An error in it is a bug of the table. */
export function parseSyntax(syntax: string): readonly Argument[] {
  const words = syntax.match(tokenPattern) ?? [];
  const reader = new SyntaxReader(words);
  const parsed = reader.sequence();
  assert(reader.atEnd, 'the whole line of syntax is read');
  return parsed;
}

class SyntaxReader {
  readonly #words: readonly string[];
  #at = 0;

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  get atEnd(): boolean {
    return this.#at === this.#words.length;
  }

  get #next(): string | undefined {
    return this.#words[this.#at];
  }

  sequence(): Argument[] {
    const parts: Argument[] = [];
    while (!this.atEnd && this.#next !== '|' && this.#next !== ']' && this.#next !== ')')
      parts.push(this.#part());
    return parts;
  }

  #part(): Argument {
    let part = this.#one();
    if (this.#next === '...') {
      this.#at++;
      part = { ...part, multiple: true };
    }
    return part;
  }

  #one(): Argument {
    const word = this.#words[this.#at++]!;
    if (word === '[' || word === '(') return this.#group(word === '[');
    if (!isToken(word)) return plain(word, undefined);
    const next = this.#next;
    if (next !== undefined && /^[a-z]/.test(next) && this.#words[this.#at + 1] !== '=') {
      this.#at++;
      return plain(next, word);
    }
    return { ...plain(word.toLowerCase(), word), type: 'pure-token' };
  }

  /** After `[` or `(`. A word before the first of several words, or of a named block, is the group's. */
  #group(optional: boolean): Argument {
    let name: string | undefined;
    let token: string | undefined;
    if (this.#words[this.#at + 1] === '=') {
      name = this.#words[this.#at]!;
      this.#at += 2;
    }
    if (isToken(this.#next!) && isToken(this.#words[this.#at + 1]!)) token = this.#words[this.#at++]!;
    const alternatives = [this.sequence()];
    while (this.#next === '|') {
      this.#at++;
      alternatives.push(this.sequence());
    }
    assert(this.#next === ']' || this.#next === ')', 'a group of syntax is closed');
    this.#at++;
    if (alternatives.length > 1) {
      const choices = alternatives.map((parts) => (parts.length === 1 ? parts[0]! : block('block', parts)));
      return { ...block(name ?? 'option', choices), type: 'oneof', token, optional };
    }
    const [first, ...rest] = alternatives[0]!;
    if (name === undefined && rest.length === 0) return { ...first!, optional };
    token = first!.token;
    return { ...block(name ?? 'data', [{ ...first!, token: undefined }, ...rest]), token, optional };
  }
}

function isToken(word: string): boolean {
  return /^[A-Z]/.test(word);
}

function plain(word: string, token: string | undefined): Argument {
  const [name, type] = word.split(':') as [string, string | undefined];
  return {
    name,
    type: type ?? usualTypes.get(name) ?? 'string',
    token,
    optional: false,
    multiple: false,
    arguments: [],
  };
}

function block(name: string, parts: readonly Argument[]): Argument {
  return { name, type: 'block', token: undefined, optional: false, multiple: false, arguments: parts };
}

/** A line of syntax without what only the table needs: names of groups, types. */
export function syntaxForPeople(syntax: string): string {
  return syntax
    .replace(/([[(])[a-z_-]+=/g, '$1')
    .replace(/:[a-z-]+/g, '')
    .replaceAll('...', ' ...')
    .replaceAll('|', ' | ');
}
