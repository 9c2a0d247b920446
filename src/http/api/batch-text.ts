/**
 * The text of a batch, taken apart: its frame, which is parsed as JSON and checked, and the values in it, which
 * stay the letters they are. Why not one `JSON.parse`: it would round long numbers and sort names, so that a value
 * put by a batch would be another than the same one put by a request of its own; and two megabytes of brackets or
 * small numbers would keep it busy for up to two seconds, in which the node does nothing else.
 *
 * The picture: a conveyor belt with boxes. They are counted and cut out as the belt runs by, and opened one by one
 * later, if they are not too large.
 *
 * ```
 * {"operations":[{"op":"put","key":"a","value":[1.50]}]}      the text
 * {"operations":[{"op":"put","key":"a","value":0}]}  [1.50]   the frame, and value 0
 * ```
 */

import { Problem } from './problem.ts';

/** Containers of a frame inside each other: the whole, the list, an operation. */
const depthMax = 3;

export interface BatchText {
  /** The frame as JSON; where a value was is its number. */
  readonly frame: unknown;
  /** The values as text, not looked into. */
  readonly values: readonly string[];
}

const quote = 0x22;
const backslash = 0x5c;

function refused(why: string): Problem {
  return new Problem('invalid', `${why}; nothing was done`, 'fail');
}

/** @throws Problem `invalid` */
function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refused(`the body is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** One pass over the text. */
class Splitter {
  readonly #text: string;
  readonly #membersMax: number;
  readonly #values: string[] = [];
  /** The frame so far, made of the text up to `#taken`. */
  #frame = '';
  #taken = 0;
  #depth = 0;
  /** Commas so far in the container at each depth. */
  readonly #commas: number[] = [0, 0, 0, 0];
  /** Where the value under way begins; -1 outside of values. How many containers are open in it. */
  #valueAt = -1;
  #valueDepth = 0;
  /** The string that ended last, with its quotes: perhaps the name of a member. */
  #name = '';

  constructor(text: string, membersMax: number) {
    this.#text = text;
    this.#membersMax = membersMax;
  }

  split(): BatchText {
    const text = this.#text;
    for (let at = 0; at < text.length; at++) {
      if (text.charCodeAt(at) === quote) {
        const end = this.#stringEnd(at);
        this.#name = text.slice(at, end + 1);
        at = end;
      } else if (this.#valueAt < 0) {
        this.#frameLetter(at);
      } else {
        this.#valueLetter(at);
      }
    }
    if (this.#valueAt >= 0) throw refused('the body is not JSON: it ends inside of a value');
    return { frame: parsedJson(this.#frame + text.slice(this.#taken)), values: this.#values };
  }

  /** Where the string that begins at `at` has its second quote. */
  #stringEnd(at: number): number {
    const text = this.#text;
    for (let i = at + 1; i < text.length; i++) {
      const letter = text.charCodeAt(i);
      if (letter === quote) return i;
      if (letter === backslash) i++;
    }
    throw refused('the body is not JSON: it ends inside of a string');
  }

  #valueLetter(at: number): void {
    const letter = this.#text[at];
    if (letter === '[' || letter === '{') {
      this.#valueDepth++;
    } else if (letter === ']' || letter === '}' || letter === ',') {
      if (this.#valueDepth === 0) this.#endValue(at);
      else if (letter !== ',') this.#valueDepth--;
    }
  }

  #endValue(at: number): void {
    this.#frame += String(this.#values.length);
    this.#values.push(this.#text.slice(this.#valueAt, at));
    this.#taken = at;
    this.#valueAt = -1;
    this.#frameLetter(at);
  }

  #frameLetter(at: number): void {
    switch (this.#text[at]) {
      case '[':
      case '{':
        this.#depth++;
        if (this.#depth > depthMax) throw refused('the body is nested deeper than a batch is');
        this.#commas[this.#depth] = 0;
        break;
      case ']':
      case '}':
        if (this.#depth > 0) this.#depth--;
        break;
      case ',':
        this.#commas[this.#depth]! += 1;
        if (this.#commas[this.#depth]! < this.#membersMax) break;
        throw refused(`a list or object of the body has more than ${this.#membersMax} members`);
      case ':':
        if (this.#depth === depthMax && isValueName(this.#name)) {
          this.#frame += this.#text.slice(this.#taken, at + 1);
          this.#valueAt = at + 1;
          this.#valueDepth = 0;
        }
    }
  }
}

/** Whether a string is the word `value`, perhaps with escapes. */
function isValueName(name: string): boolean {
  return name === '"value"' || (name.includes('\\') && parsedJson(name) === 'value');
}

/**
 * Takes the text of a batch apart.
 * @param membersMax members that a list or object of the frame has at most
 * @throws Problem `invalid` for a frame that is not JSON, or not that of a batch
 */
export function splitBatch(text: string, membersMax: number): BatchText {
  return new Splitter(text, membersMax).split();
}
