/**
 * A small tokenizer for TypeScript: enough to tell words from what only looks like words.
 *
 * The layer checker must not be fooled by `Date` in a comment or in a string, nor miss it inside the
 * `${…}` of a template. TypeScript 7 has no JavaScript API to ask, and a grammar would be far more than
 * is needed, so this cuts a file into words, numbers, strings, templates, regular expressions and
 * punctuation, and drops comments. The picture: a sieve, not a parser.
 *
 * The one hard question is whether `/` divides or begins a regular expression. It is answered from what
 * stands before it: after an operand it divides. `)` and `}` can end either, so for `)` the word before
 * its `(` decides (`if (x) /re/`), and for `}` whether the `/` begins a line.
 */

/** What a token is. A template is cut into its text parts; what stands in `${…}` becomes tokens. */
export type TokenKind = 'word' | 'number' | 'string' | 'template' | 'regex' | 'punctuation';

export interface Token {
  readonly kind: TokenKind;
  /** The text as written; of a string, what stands between the quotes. */
  readonly text: string;
  /** Line it begins on, from 1. */
  readonly line: number;
}

/** What `tokenize` found. */
export interface Tokens {
  readonly tokens: readonly Token[];
  /** Lines of the file, a last empty one not counted. */
  readonly lines: number;
  /** Text of the comment the file opens with (after a `#!` line), or undefined when it opens otherwise. */
  readonly opening: string | undefined;
}

/** Thrown when the text ends within a comment, a string, a template or a regular expression. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

const wordStart = /[\p{ID_Start}$_\\]/u;
const wordPart = /[\p{ID_Continue}$_\\\u200c\u200d]/u;
const digit = /[0-9]/;
const numberPart = /[0-9A-Za-z_.]/;

/** Words after which an operand comes, so that a `/` begins a regular expression. */
const wordsBeforeOperand: ReadonlySet<string> = new Set(
  'return typeof case in of delete void throw new else do await yield instanceof extends default'.split(' '),
);

/** Words whose parentheses are a condition, after which a statement may begin. */
const wordsBeforeCondition: ReadonlySet<string> = new Set(['if', 'while', 'for', 'with']);

/** Punctuation of several chars that must not be cut, longest first. `>` is never joined: it closes types. */
const punctuations = ['...', '?.', '=>', '++', '--', '??', '&&', '||', '==', '!='];

/** Cuts `source` into tokens. @throws TokenError when something is left open at the end. */
export function tokenize(source: string): Tokens {
  return new Tokenizer(source).run();
}

class Tokenizer {
  readonly #source: string;
  #at = 0;
  #line = 1;
  #lineAtLastToken = 0;
  readonly #tokens: Token[] = [];
  /** For each open `(`, whether it holds the condition of an `if`, `while`, `for` or `with`. */
  readonly #parentheses: boolean[] = [];
  /** For each open `{`, whether it is the `${` of a template. */
  readonly #braces: boolean[] = [];
  /** Whether what was read last ends an operand, so that a `/` divides. */
  #operandEnded = false;
  #opening: string | undefined;

  constructor(source: string) {
    this.#source = source.charCodeAt(0) === 0xfeff ? source.slice(1) : source;
  }

  run(): Tokens {
    if (this.#source.startsWith('#!')) this.#at = this.#endOfLine(0);
    while (this.#skipSpaceAndComments()) this.#token();
    if (this.#braces.length > 0) throw new TokenError(this.#line, 'the file ends within { … }');
    const lines = this.#source.endsWith('\n') ? this.#line - 1 : this.#line;
    return { tokens: this.#tokens, lines, opening: this.#opening };
  }

  #endOfLine(from: number): number {
    const end = this.#source.indexOf('\n', from);
    return end < 0 ? this.#source.length : end;
  }

  /** Goes on to the next token; false at the end of the file. */
  #skipSpaceAndComments(): boolean {
    const source = this.#source;
    while (this.#at < source.length) {
      const char = source[this.#at]!;
      if (char === '\n') {
        this.#line++;
        this.#at++;
      } else if (/\s/.test(char)) {
        this.#at++;
      } else if (source.startsWith('//', this.#at)) {
        const end = this.#endOfLine(this.#at);
        this.#noteOpening(source.slice(this.#at, end));
        this.#at = end;
      } else if (source.startsWith('/*', this.#at)) {
        const end = source.indexOf('*/', this.#at + 2);
        if (end < 0) throw new TokenError(this.#line, 'a comment is not closed');
        this.#noteOpening(source.slice(this.#at, end + 2));
        this.#skipTo(end + 2);
      } else {
        return true;
      }
    }
    return false;
  }

  #noteOpening(comment: string): void {
    if (this.#opening === undefined && this.#tokens.length === 0) this.#opening = comment;
  }

  /** Moves on to `end`, counting the lines between. */
  #skipTo(end: number): void {
    for (let i = this.#at; i < end; i++) if (this.#source[i] === '\n') this.#line++;
    this.#at = end;
  }

  #push(kind: TokenKind, text: string, line: number): void {
    this.#tokens.push({ kind, text, line });
    this.#lineAtLastToken = this.#line;
  }

  #token(): void {
    const char = String.fromCodePoint(this.#source.codePointAt(this.#at)!);
    const next = this.#source[this.#at + 1] ?? '';
    if (wordStart.test(char)) this.#word();
    else if (digit.test(char) || (char === '.' && digit.test(next))) this.#number();
    else if (char === '"' || char === "'") this.#string(char);
    else if (char === '`') this.#template();
    else if (char === '/' && this.#beginsRegex()) this.#regex();
    else this.#punctuation(char);
  }

  #word(): void {
    const source = this.#source;
    let end = this.#at;
    for (;;) {
      const code = source.codePointAt(end);
      if (code === undefined) break;
      const char = String.fromCodePoint(code);
      // `\u{44}ate` is a word too: the braces of an escape belong to it.
      if (char === '\\' && source.startsWith('u{', end + 1)) {
        const close = source.indexOf('}', end);
        end = close < 0 ? source.length : close + 1;
      } else if (wordPart.test(char)) {
        end += char.length;
      } else {
        break;
      }
    }
    const before = this.#tokens.at(-1)?.text;
    const member = before === '.' || before === '?.';
    const text = unescapeWord(source.slice(this.#at, end));
    this.#push('word', text, this.#line);
    this.#at = end;
    this.#operandEnded = member || !wordsBeforeOperand.has(text);
  }

  #number(): void {
    const source = this.#source;
    let end = this.#at;
    while (end < source.length) {
      const char = source[end]!;
      const exponentSign = (char === '+' || char === '-') && /[eE]/.test(source[end - 1]!);
      const hexadecimal = /^0[xX]/.test(source.slice(this.#at, this.#at + 2));
      if (!numberPart.test(char) && !(exponentSign && !hexadecimal)) break;
      // `1..toString()` and `[...]` after a number do not occur in one token.
      if (char === '.' && source[end + 1] === '.') break;
      end++;
    }
    this.#push('number', source.slice(this.#at, end), this.#line);
    this.#at = end;
    this.#operandEnded = true;
  }

  #string(quote: string): void {
    const source = this.#source;
    const line = this.#line;
    let end = this.#at + 1;
    while (end < source.length && source[end] !== quote && source[end] !== '\n') {
      end += source[end] === '\\' ? 2 : 1;
    }
    if (source[end] !== quote) throw new TokenError(line, 'a string is not closed');
    this.#push('string', source.slice(this.#at + 1, end), line);
    this.#skipTo(end + 1);
    this.#operandEnded = true;
  }

  /** From a backtick, or from the `}` that ends a `${…}`, up to the next `${` or the closing backtick. */
  #template(): void {
    const source = this.#source;
    const line = this.#line;
    let end = this.#at + 1;
    while (end < source.length && source[end] !== '`' && !source.startsWith('${', end)) {
      end += source[end] === '\\' ? 2 : 1;
    }
    if (end >= source.length) throw new TokenError(line, 'a template is not closed');
    this.#push('template', source.slice(this.#at + 1, end), line);
    const closed = source[end] === '`';
    this.#skipTo(end + (closed ? 1 : 2));
    if (!closed) this.#braces.push(true);
    this.#operandEnded = closed;
  }

  #beginsRegex(): boolean {
    if (this.#operandEnded) return false;
    if (this.#tokens.at(-1)?.text !== '}') return true;
    return this.#line !== this.#lineAtLastToken;
  }

  #regex(): void {
    const source = this.#source;
    let end = this.#at + 1;
    let inClass = false;
    while (end < source.length && source[end] !== '\n' && (inClass || source[end] !== '/')) {
      if (source[end] === '\\') end++;
      else if (source[end] === '[') inClass = true;
      else if (source[end] === ']') inClass = false;
      end++;
    }
    if (source[end] !== '/') throw new TokenError(this.#line, 'a regular expression is not closed');
    end++;
    while (end < source.length && wordPart.test(source[end]!)) end++;
    this.#push('regex', source.slice(this.#at, end), this.#line);
    this.#at = end;
    this.#operandEnded = true;
  }

  #punctuation(char: string): void {
    const before = this.#tokens.at(-1);
    if (char === '}' && this.#braces.pop() === true) {
      this.#template();
      return;
    }
    const text = punctuations.find((each) => this.#source.startsWith(each, this.#at)) ?? char;
    const wasOperand = this.#operandEnded;
    this.#operandEnded = text === ']' || text === '++' || text === '--';
    if (text === '{') {
      this.#braces.push(false);
    } else if (text === '(') {
      this.#parentheses.push(before?.kind === 'word' && wordsBeforeCondition.has(before.text));
    } else if (text === ')') {
      this.#operandEnded = this.#parentheses.pop() !== true;
    } else if (text === '!') {
      // `x! / 2` divides, `!/re/` does not.
      this.#operandEnded = wasOperand;
    }
    this.#push('punctuation', text, this.#line);
    this.#at += text.length;
  }
}

/** `\u0044ate` names the same thing as `Date`. */
function unescapeWord(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\u(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{4}))/g, (_, long?: string, short?: string) =>
    String.fromCodePoint(Number.parseInt(long ?? short ?? '0', 16)),
  );
}
