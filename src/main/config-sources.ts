/**
 * Where settings come from: a YAML file, `DURE_…` variables, `--flags`; the later one wins. What comes
 * out is one plain tree, and for each setting who set it, so that a message can point there.
 */

import { readFileSync } from 'node:fs';
import { LineCounter, parse, parseDocument } from 'yaml';
import { SETTINGS, type SettingInfo } from './config-schema.ts';

/** A problem of a configuration: where (`node.yaml:12 storage.engine`), and what was expected. */
export interface Problem {
  readonly where: string;
  readonly message: string;
}

export interface Sources {
  /** Path of the YAML file, if there is one. */
  readonly file?: string | undefined;
  /** By flag without dashes: `storage-engine`. */
  readonly flags?: ReadonlyMap<string, string>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Instead of a file: the settings as a program has them, in the shape of the YAML file. */
  readonly values?: Readonly<Record<string, unknown>>;
}

export interface Gathered {
  readonly tree: Readonly<Record<string, unknown>>;
  /** Problems that keep a source from being read at all. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** Words for the place where a setting (by path) was set. */
  readonly whereOf: (path: readonly (string | number)[]) => string;
  /** Whether a flag or a variable set it, rather than the file. */
  readonly isOverridden: (path: string) => boolean;
}

type Lines = (path: readonly (string | number)[]) => number | undefined;

interface FileRead {
  readonly tree: Record<string, unknown>;
  readonly problems: Problem[];
  readonly lineOf: Lines;
}

/** Reads all sources. Never throws: what cannot be read is a problem. */
export function gather(sources: Sources): Gathered {
  const file = sources.file === undefined ? undefined : readYaml(sources.file);
  const tree: Record<string, unknown> = file?.tree ?? { ...sources.values };
  const problems: Problem[] = file?.problems ?? [];
  const overridden = new Map<string, string>();
  const override = (info: SettingInfo, text: string, name: string): void => {
    const value = readText(info, text);
    if (value instanceof Error) problems.push({ where: name, message: value.message });
    else assign(tree, info.path, value);
    overridden.set(info.path, name);
  };
  const environment = sources.environment ?? {};
  for (const info of SETTINGS) {
    const text = environment[info.variable];
    if (text !== undefined) override(info, text, info.variable);
  }
  for (const info of SETTINGS) {
    const text = sources.flags?.get(info.flag);
    if (text !== undefined) override(info, text, `--${info.flag}`);
  }
  return {
    tree,
    problems,
    warnings: strangeVariables(environment),
    isOverridden: (path) => overridden.has(path),
    whereOf: (path) => {
      const name = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');
      const shown = name.replace(/^\./, '');
      const by = overridden.get(String(path[0])) ?? overridden.get(`${path[0]}.${path[1]}`);
      if (by !== undefined) return `${by} (${shown})`;
      const line = file?.lineOf(path);
      return line === undefined ? shown : `${sources.file}:${line} ${shown}`;
    },
  };
}

function readYaml(path: string): FileRead {
  const nothing = (message: string): FileRead => ({
    tree: {},
    problems: [{ where: path, message }],
    lineOf: () => undefined,
  });
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return nothing(code === 'ENOENT' ? 'there is no such file' : `the file cannot be read: ${message}`);
  }
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  if (document.errors.length > 0) {
    return {
      ...nothing(''),
      problems: document.errors.map((error) => ({
        where: `${path}:${counter.linePos(error.pos[0]).line}`,
        message: `not YAML: ${error.message}`,
      })),
    };
  }
  const tree: unknown = document.toJS() ?? {};
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) {
    return nothing('expected settings, as "name: value" a line');
  }
  const lineOf: Lines = (place) => {
    for (let length = place.length; length > 0; length--) {
      const found = document.getIn(place.slice(0, length), true) as { range?: [number] } | undefined;
      if (found?.range) return counter.linePos(found.range[0]).line;
    }
    return undefined;
  };
  return { tree: tree as Record<string, unknown>, problems: [], lineOf };
}

/** A flag's or a variable's text as a value: text stays text, everything else is read as YAML. */
function readText(info: SettingInfo, text: string): unknown {
  if (info.text) return text;
  try {
    return parse(text);
  } catch (error) {
    return new Error(
      `expected ${info.expected}; found ${JSON.stringify(text)}, which cannot be read: ${(error as Error).message.split('\n')[0]}`,
    );
  }
}

function assign(tree: Record<string, unknown>, path: string, value: unknown): void {
  const [section, key] = path.split('.');
  if (key === undefined) {
    tree[section!] = value;
    return;
  }
  const within = tree[section!];
  const old = typeof within === 'object' && within !== null && !Array.isArray(within) ? within : {};
  tree[section!] = { ...old, [key]: value };
}

/** Variables that look like ours and are not. Only a warning: a platform may set some of its own. */
function strangeVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set(['DURE_CONFIG', ...SETTINGS.map((info) => info.variable)]);
  return Object.keys(environment)
    .filter((name) => name.startsWith('DURE_') && !known.has(name))
    .map((name) => `the variable ${name} is not a setting${suggestion(name, [...known])}`);
}

/** `; did you mean "engine"?`, or nothing when no candidate is near. */
export function suggestion(word: string, candidates: readonly string[]): string {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === undefined ? '' : `; did you mean "${best}"?`;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
