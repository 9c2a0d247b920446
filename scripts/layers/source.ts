/**
 * What the layer checker wants to know about one file: its imports and its functions, read off the
 * tokens. No syntax tree: an import is a word followed by a string, and a function body is a `{` with
 * the right things before it.
 */

import type { Token } from './tokens.ts';

/** An import, an export from elsewhere, or an `import(…)`; type-only ones too. */
export interface ImportSite {
  /** What stands between the quotes; undefined when it is computed at run time. */
  readonly specifier: string | undefined;
  readonly line: number;
}

/** A function, method or arrow with a block body. */
export interface FunctionSite {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

/** Whether a token is this punctuation, and not a string that holds the same char. */
export function isPunctuation(token: Token | undefined, ...texts: readonly string[]): boolean {
  return token?.kind === 'punctuation' && texts.includes(token.text);
}

/** All imports of a file, in order. */
export function importsOf(tokens: readonly Token[]): ImportSite[] {
  const sites: ImportSite[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const { kind, text, line } = tokens[i]!;
    if (kind !== 'word' || isMember(tokens, i) || isKey(tokens, i)) continue;
    if (text === 'import') {
      const next = tokens[i + 1];
      if (next?.kind === 'string') {
        sites.push({ specifier: next.text, line });
      } else if (isPunctuation(next, '(')) {
        const argument = tokens[i + 2];
        const literal = argument?.kind === 'string' && isPunctuation(tokens[i + 3], ')', ',');
        sites.push({ specifier: literal ? argument.text : undefined, line });
      } else if (!isPunctuation(next, '.')) {
        pushFrom(sites, tokens, i + 1);
      }
    } else if (text === 'export') {
      const next = tokens[i + 1]?.text === 'type' ? tokens[i + 2] : tokens[i + 1];
      if (isPunctuation(next, '*', '{')) pushFrom(sites, tokens, i + 1);
    }
  }
  return sites;
}

/** Looks for `from '…'` before the statement can have ended. */
function pushFrom(sites: ImportSite[], tokens: readonly Token[], start: number): void {
  const line = tokens[start - 1]!.line;
  let inBraces = false;
  for (let i = start; i < tokens.length; i++) {
    const token = tokens[i]!;
    const next = tokens[i + 1];
    if (isPunctuation(token, '{')) {
      inBraces = true;
    } else if (isPunctuation(token, '}')) {
      inBraces = false;
      if (next?.text !== 'from') return;
    } else if (!inBraces && isPunctuation(token, ';')) {
      return;
    } else if (!inBraces && token.text === 'from' && next?.kind === 'string') {
      sites.push({ specifier: next.text, line });
      return;
    }
  }
}

/** Whether the word at `i` names a member of something: `x.Date`, `x?.Date`, `#Date`. */
export function isMember(tokens: readonly Token[], i: number): boolean {
  return isPunctuation(tokens[i - 1], '.', '?.', '#');
}

/** Whether the word at `i` is only a name given to a property: `{ Date: 1 }`, `readonly Date: string`. */
export function isKey(tokens: readonly Token[], i: number): boolean {
  const next = tokens[i + 1];
  const optional = isPunctuation(next, '?') && isPunctuation(tokens[i + 2], ':');
  if (!isPunctuation(next, ':') && !optional) return false;
  const before = tokens[i - 1];
  return isPunctuation(before, '{', '}', '(', ',', ';') || before?.text === 'readonly';
}

const pairs: ReadonlyMap<string, string> = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
]);

/** For each opening bracket the index of its closing one, and the other way round. */
function matchBrackets(tokens: readonly Token[]): Int32Array {
  const partner = new Int32Array(tokens.length).fill(-1);
  const open: number[] = [];
  tokens.forEach(({ kind, text }, i) => {
    if (kind !== 'punctuation') return;
    if (pairs.has(text)) {
      open.push(i);
    } else if (text === ')' || text === ']' || text === '}') {
      const start = open.pop();
      if (start === undefined) return;
      partner[start] = i;
      partner[i] = start;
    }
  });
  return partner;
}

const controlWords: ReadonlySet<string> = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await']);

/** All functions of a file that have a block body, in the order of their bodies. */
export function functionsOf(tokens: readonly Token[]): FunctionSite[] {
  const partner = matchBrackets(tokens);
  const sites: FunctionSite[] = [];
  const add = (nameAt: number, body: number): void => {
    const line = tokens[nameAt]?.line ?? tokens[body]!.line;
    const end = tokens[partner[body]!]?.line ?? line;
    const name = tokens[nameAt]?.kind === 'word' ? tokens[nameAt]!.text : 'a function';
    sites.push({ name, line, lines: end - line + 1 });
  };
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (isPunctuation(token, '=>') && isPunctuation(tokens[i + 1], '{')) {
      add(i, i + 1);
    } else if (isPunctuation(token, '(') && partner[i]! > i) {
      const name = nameIndex(tokens, i);
      if (controlWords.has(tokens[name]?.text ?? '')) continue;
      const body = bodyAfter(tokens, partner, partner[i]! + 1);
      if (body >= 0) add(name, body);
    }
  }
  return sites;
}

/** Index of the name before the `(` at `i`, over type parameters `<…>`. */
function nameIndex(tokens: readonly Token[], i: number): number {
  let at = i - 1;
  if (!isPunctuation(tokens[at], '>')) return at;
  for (let depth = 0; at >= 0; at--) {
    if (isPunctuation(tokens[at], '>')) depth++;
    else if (isPunctuation(tokens[at], '<') && --depth === 0) return at - 1;
  }
  return at;
}

/** After these a type goes on. */
const typeOperators: ReadonlySet<string> = new Set(
  '| & . ? : => is asserts keyof typeof readonly infer unique extends new abstract'.split(' '),
);

/** After these it was no type: the `:` belonged to a `case` or to a condition. */
const statementWords: ReadonlySet<string> = new Set(
  'return throw break continue case default const let if for while do switch await'.split(' '),
);

/**
 * The `{` that begins a function's body after its parameters end before `at`, or -1. Between them may
 * stand a type, in which a `{` where a type is expected belongs to the type.
 */
function bodyAfter(tokens: readonly Token[], partner: Int32Array, at: number): number {
  if (isPunctuation(tokens[at], '{')) return at;
  if (!isPunctuation(tokens[at], ':')) return -1;
  let typeExpected = true;
  for (let i = at + 1; i < tokens.length; i++) {
    const { kind, text } = tokens[i]!;
    if (kind !== 'punctuation') {
      if (kind === 'word' && statementWords.has(text)) return -1;
      typeExpected = kind === 'word' && typeOperators.has(text);
    } else if (pairs.has(text)) {
      if (text === '{' && !typeExpected) return i;
      if (partner[i]! < i) return -1;
      i = partner[i]!;
      typeExpected = false;
    } else if (text === '<') {
      i = endOfTypeArguments(tokens, partner, i);
      typeExpected = false;
    } else if (typeOperators.has(text)) {
      typeExpected = true;
    } else {
      return -1;
    }
  }
  return -1;
}

function endOfTypeArguments(tokens: readonly Token[], partner: Int32Array, start: number): number {
  let depth = 0;
  for (let i = start; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (isPunctuation(token, '<')) depth++;
    else if (isPunctuation(token, '>') && --depth === 0) return i;
    else if (isPunctuation(token, '(', '[', '{') && partner[i]! > i) i = partner[i]!;
  }
  return tokens.length;
}
