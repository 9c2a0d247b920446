/**
 * Go's text/template, as much of it as our Helm chart uses, with the functions that Helm adds: so that the chart is
 * rendered by `npm test`, where there is no Helm. What it does not know is an error, never guessed at.
 *
 * Known: text with `{{-` and `-}}`, comments, `if`/`else if`/`else`, `range`, `with`, `define`, variables, pipelines,
 * parentheses, fields, and the functions below. `scripts/` has no use for it: it is for tests.
 */

import { createHash } from 'node:crypto';
import { stringify } from 'yaml';

type Value = unknown;
type Call = (args: readonly Value[], engine: Engine) => Value;

type Word =
  | { readonly kind: 'value'; readonly value: Value }
  | {
      readonly kind: 'path';
      readonly base: 'dot' | 'variable';
      readonly name: string;
      readonly path: readonly string[];
    }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'group'; readonly pipe: Pipe; readonly path: readonly string[] };

interface Pipe {
  readonly assign: { readonly names: readonly string[]; readonly isNew: boolean } | undefined;
  readonly commands: readonly (readonly Word[])[];
}

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'show'; readonly pipe: Pipe }
  | {
      readonly kind: 'if' | 'with' | 'range';
      readonly pipe: Pipe;
      readonly body: readonly Part[];
      readonly otherwise: readonly Part[];
    };

interface Piece {
  readonly text: string;
  readonly isAction: boolean;
}

/** Text and actions, with white space already taken away where a dash says so. */
function pieces(source: string): Piece[] {
  const found: Piece[] = [];
  let trim = false;
  let at = 0;
  for (const match of source.matchAll(/\{\{(?:(-)\s)?([\s\S]*?)(?:\s(-))?\}\}/g)) {
    let text = source.slice(at, match.index);
    if (trim) text = text.trimStart();
    if (match[1] !== undefined) text = text.trimEnd();
    found.push({ text, isAction: false });
    const inner = match[2]!.trim();
    if (!(inner.startsWith('/*') && inner.endsWith('*/'))) found.push({ text: inner, isAction: true });
    trim = match[3] !== undefined;
    at = match.index + match[0].length;
  }
  const rest = source.slice(at);
  found.push({ text: trim ? rest.trimStart() : rest, isAction: false });
  return found;
}

const tokenPattern =
  /\s*("(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+(?:\.\d+)?|:=|=|\||\(|\)|,|\$\w*(?:\.\w+)*|(?:\.\w+)+|\w+|\.)\s*/y;

function tokens(text: string): string[] {
  const found: string[] = [];
  let at = 0;
  while (at < text.length) {
    tokenPattern.lastIndex = at;
    const match = tokenPattern.exec(text);
    if (match === null) throw new Error(`cannot read "${text}" at ${at}`);
    // `(f x).y` looks into what is in the parentheses; `f (x) .y` has two arguments.
    const isInto = text[at - 1] === ')' && /^\.\w/.test(match[1]!);
    found.push(isInto ? `)${match[1]}` : match[1]!);
    at = tokenPattern.lastIndex;
  }
  return found;
}

/** Reads the words of an action. */
class ActionReader {
  readonly #tokens: readonly string[];
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokens(text);
  }

  pipe(): Pipe {
    const assign = this.#assign();
    const pipe = this.#commands(assign);
    if (this.#at < this.#tokens.length) throw new Error(`cannot read the end of "${this.#text}"`);
    return pipe;
  }

  #assign(): Pipe['assign'] {
    const at = this.#tokens.findIndex((token) => token === ':=' || token === '=');
    if (at < 0) return undefined;
    const names = this.#tokens.slice(0, at).filter((token) => token !== ',');
    this.#at = at + 1;
    return { names, isNew: this.#tokens[at] === ':=' };
  }

  #commands(assign: Pipe['assign']): Pipe {
    const commands: Word[][] = [[]];
    while (this.#at < this.#tokens.length && this.#tokens[this.#at] !== ')') {
      if (this.#tokens[this.#at] === '|') {
        this.#at++;
        commands.push([]);
      } else commands.at(-1)!.push(this.#word());
    }
    if (commands.some((command) => command.length === 0))
      throw new Error(`an empty command in "${this.#text}"`);
    return { assign, commands };
  }

  #word(): Word {
    const token = this.#tokens[this.#at++]!;
    if (token === '(') {
      const pipe = this.#commands(undefined);
      if (this.#tokens[this.#at++] !== ')') throw new Error(`a parenthesis is open in "${this.#text}"`);
      const next = this.#tokens[this.#at];
      const hasPath = next?.startsWith(').') ?? false;
      if (hasPath) this.#at++;
      return { kind: 'group', pipe, path: hasPath ? next!.split('.').slice(1) : [] };
    }
    if (token.startsWith('"')) return { kind: 'value', value: JSON.parse(token) as string };
    if (token.startsWith('`')) return { kind: 'value', value: token.slice(1, -1) };
    if (/^-?\d/.test(token)) return { kind: 'value', value: Number(token) };
    if (token === 'true' || token === 'false') return { kind: 'value', value: token === 'true' };
    if (token === 'nil') return { kind: 'value', value: undefined };
    if (token.startsWith('.')) {
      return { kind: 'path', base: 'dot', name: '', path: token.split('.').filter((name) => name !== '') };
    }
    if (token.startsWith('$')) {
      const [name, ...path] = token.split('.');
      return { kind: 'path', base: 'variable', name: name!, path };
    }
    if (!/^\w+$/.test(token)) throw new Error(`unexpected "${token}" in "${this.#text}"`);
    return { kind: 'function', name: token };
  }
}

/** Reads a template; what it defines goes into `templates`. */
function read(source: string, templates: Map<string, readonly Part[]>): Part[] {
  const queue = pieces(source);
  let at = 0;
  const block = (): { parts: Part[]; end: string } => {
    const parts: Part[] = [];
    for (; at < queue.length; at++) {
      const { text, isAction } = queue[at]!;
      if (!isAction) {
        if (text !== '') parts.push({ kind: 'text', text });
        continue;
      }
      const [, keyword = '', rest = ''] = /^(\w+)?\s*([\s\S]*)$/.exec(text)!;
      if (keyword === 'end' || keyword === 'else') {
        at++;
        return { parts, end: text };
      }
      if (keyword === 'if' || keyword === 'with' || keyword === 'range') {
        at++;
        parts.push(branch(keyword, rest));
        at--;
      } else if (keyword === 'define') {
        at++;
        const { parts: body } = block();
        templates.set(JSON.parse(rest) as string, body);
        at--;
      } else parts.push({ kind: 'show', pipe: new ActionReader(text).pipe() });
    }
    return { parts, end: '' };
  };
  const branch = (kind: 'if' | 'with' | 'range', rest: string): Part => {
    const pipe = new ActionReader(rest).pipe();
    const { parts: body, end } = block();
    let otherwise: readonly Part[] = [];
    if (end.startsWith('else if ')) otherwise = [branch('if', end.slice('else if '.length))];
    else if (end === 'else') otherwise = block().parts;
    else if (end !== 'end') throw new Error(`"${kind} ${rest}" has no end`);
    return { kind, pipe, body, otherwise };
  };
  const { parts, end } = block();
  if (end !== '') throw new Error(`an "${end}" too many`);
  return parts;
}

/** Thrown by `fail` and `required`. */
export class TemplateFailure extends Error {}

function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== '' && value !== 0 && value !== false;
}

function shown(value: Value): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'object') throw new Error(`shows what is no text: ${JSON.stringify(value)}`);
  return String(value);
}

function indented(text: string, count: number): string {
  return text
    .split('\n')
    .map((line) => ' '.repeat(count) + line)
    .join('\n');
}

function printf(format: string, args: readonly Value[]): string {
  let at = 0;
  return format.replaceAll(/%([sdqv%])/g, (_, verb: string) => {
    if (verb === '%') return '%';
    const value = args[at++];
    return verb === 'q' ? JSON.stringify(shown(value)) : shown(value);
  });
}

const text = (value: Value): string => shown(value);
const whole = (value: Value): number => Math.trunc(Number(value ?? 0)) || 0;

/** As in Go's templates, in Sprig and in Helm. */
const functions: Readonly<Record<string, Call>> = {
  eq: ([a, ...others]) => others.some((other) => a === other),
  ne: ([a, b]) => a !== b,
  lt: ([a, b]) => (a as number) < (b as number),
  gt: ([a, b]) => (a as number) > (b as number),
  ge: ([a, b]) => (a as number) >= (b as number),
  not: ([a]) => !isTrue(a),
  index: ([list, ...keys]) =>
    keys.reduce((at: Value, key) => (at as Record<string, Value>)[key as string], list),
  list: (args) => [...args],
  dict: (args) =>
    Object.fromEntries(args.flatMap((key, i) => (i % 2 === 0 ? [[text(key), args[i + 1]]] : []))),
  append: ([list, item]) => [...(list as Value[]), item],
  until: ([count]) => Array.from({ length: whole(count) }, (_, i) => i),
  default: ([fallback, value]) => (isTrue(value) ? value : fallback),
  int: ([value]) => whole(value),
  toString: (args: readonly Value[]) => text(args[0]),
  quote: ([value]) => JSON.stringify(text(value)),
  print: (args) => args.map(text).join(''),
  printf: ([format, ...args]) => printf(text(format), args),
  join: ([separator, list]) => (list as Value[]).map(text).join(text(separator)),
  trunc: ([length, value]) => text(value).slice(0, whole(length)),
  trimSuffix: ([suffix, value]) =>
    text(value).endsWith(text(suffix)) ? text(value).slice(0, -text(suffix).length) : text(value),
  nindent: ([count, value]) => `\n${indented(text(value), whole(count))}`,
  indent: ([count, value]) => indented(text(value), whole(count)),
  toYaml: (args) => stringify(args[0], { sortMapEntries: true, lineWidth: 0 }).replace(/\n$/, ''),
  sha256sum: ([value]) => createHash('sha256').update(text(value)).digest('hex'),
  fail: ([message]) => {
    throw new TemplateFailure(text(message));
  },
  include: ([name, dot], engine) => engine.run(text(name), dot),
  // There is no cluster to look into: as with "helm template".
  lookup: (args, engine) => engine.lookup(args.map(text)),
};

interface Scope {
  readonly values: Map<string, Value>;
  readonly outer: Scope | undefined;
}

export class Engine {
  readonly #templates: Map<string, readonly Part[]> = new Map();
  readonly lookup: (args: readonly string[]) => Value;

  /** @param lookup what a cluster would have: of API version, kind, namespace and name */
  constructor(lookup: (args: readonly string[]) => Value = () => ({})) {
    this.lookup = lookup;
  }

  /** Takes a template under a name, and all that it defines. */
  add(name: string, source: string): void {
    this.#templates.set(name, read(source, this.#templates));
  }

  /** @throws Error for what is wrong with a template; TemplateFailure for what it says is wrong with the values */
  run(name: string, dot: Value): string {
    const parts = this.#templates.get(name);
    if (parts === undefined) throw new Error(`there is no template "${name}"`);
    return this.#all(parts, dot, { values: new Map([['$', dot]]), outer: undefined });
  }

  #all(parts: readonly Part[], dot: Value, outer: Scope): string {
    const scope: Scope = { values: new Map(), outer };
    return parts.map((part) => this.#one(part, dot, scope)).join('');
  }

  #one(part: Part, dot: Value, scope: Scope): string {
    if (part.kind === 'text') return part.text;
    if (part.kind === 'show') {
      const value = this.#pipe(part.pipe, dot, scope);
      return part.pipe.assign === undefined ? shown(value) : '';
    }
    const inner: Scope = { values: new Map(), outer: scope };
    if (part.kind === 'range') return this.#range(part, dot, inner);
    const value = this.#pipe(part.pipe, dot, inner);
    if (!isTrue(value)) return this.#all(part.otherwise, dot, inner);
    return this.#all(part.body, part.kind === 'with' ? value : dot, inner);
  }

  #range(part: Extract<Part, { kind: 'if' | 'with' | 'range' }>, dot: Value, scope: Scope): string {
    const { assign, commands } = part.pipe;
    const value = this.#pipe({ assign: undefined, commands }, dot, scope);
    if (!isTrue(value)) return this.#all(part.otherwise, dot, scope);
    const entries: [Value, Value][] = Array.isArray(value)
      ? value.map((item, i): [Value, Value] => [i, item])
      : Object.entries(value as object).sort(([a], [b]) => (a < b ? -1 : 1));
    return entries
      .map(([key, item]) => {
        const [first, second] = assign?.names ?? [];
        if (second !== undefined) scope.values.set(first!, key).set(second, item);
        else if (first !== undefined) scope.values.set(first, item);
        return this.#all(part.body, item, scope);
      })
      .join('');
  }

  #pipe({ assign, commands }: Pipe, dot: Value, scope: Scope): Value {
    let value: Value;
    for (const [i, command] of commands.entries()) {
      value = this.#command(command, i === 0 ? [] : [value], dot, scope);
    }
    if (assign !== undefined) set(scope, assign.names[0]!, value, assign.isNew);
    return value;
  }

  #command(words: readonly Word[], piped: readonly Value[], dot: Value, scope: Scope): Value {
    const [first, ...others] = words;
    if (first === undefined || first.kind !== 'function') {
      if (others.length + piped.length > 0) throw new Error('arguments for what is no function');
      return this.#word(first!, dot, scope);
    }
    const { name } = first;
    // These two look at an argument only if those before it did not settle it.
    if (name === 'and' || name === 'or') {
      let value: Value;
      for (const word of others) {
        value = this.#word(word, dot, scope);
        if (isTrue(value) === (name === 'or')) return value;
      }
      return piped.length === 0 ? value : piped[0];
    }
    const call = functions[name];
    if (call === undefined) throw new Error(`there is no function "${name}"`);
    return call([...others.map((word) => this.#word(word, dot, scope)), ...piped], this);
  }

  #word(word: Word, dot: Value, scope: Scope): Value {
    switch (word.kind) {
      case 'value':
        return word.value;
      case 'function':
        return this.#command([word], [], dot, scope);
      case 'group':
        return follow(this.#pipe(word.pipe, dot, scope), word.path);
      case 'path':
        return follow(word.base === 'dot' ? dot : get(scope, word.name), word.path);
    }
  }
}

/** @throws Error where there is nothing to look into, as in Go */
function follow(value: Value, path: readonly string[]): Value {
  let at = value;
  for (const name of path) {
    if (at === undefined || at === null)
      throw new Error(`nothing to look for "${name}" in (${path.join('.')})`);
    at = (at as Readonly<Record<string, Value>>)[name];
  }
  return at;
}

function get(scope: Scope | undefined, name: string): Value {
  for (let at = scope; at !== undefined; at = at.outer) if (at.values.has(name)) return at.values.get(name);
  throw new Error(`there is no variable "${name}"`);
}

function set(scope: Scope, name: string, value: Value, isNew: boolean): void {
  if (isNew) {
    scope.values.set(name, value);
    return;
  }
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) {
    if (!at.values.has(name)) continue;
    at.values.set(name, value);
    return;
  }
  throw new Error(`there is no variable "${name}"`);
}
