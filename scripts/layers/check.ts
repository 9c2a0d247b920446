/**
 * The layer checker: the rules of the house (ARCHITECTURE.md), held against every source file.
 *
 * The picture: a building inspector with a list. Each rule has a name, and every finding says where,
 * which rule, and what to do. There is no way to silence a rule in the source: either the code changes
 * or, with a decision note, the rule (`rules.ts`).
 */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import {
  AMBIENT,
  AMBIENT_MEMBERS,
  ASYNCHRONOUS,
  LAYER_MAIN,
  LAYER_PURE_MAX,
  LAYERS,
  LENGTH_LIMITS_DEFAULT,
  type LengthLimits,
  OUTSIDE_FOLDERS,
  PURE_PACKAGES,
} from './rules.ts';
import { functionsOf, type ImportSite, importsOf, isKey, isMember, isPunctuation } from './source.ts';
import { type Token, TokenError, type Tokens, tokenize } from './tokens.ts';

export type Rule =
  | 'unknown-folder'
  | 'unreadable'
  | 'layer'
  | 'cycle'
  | 'unresolved'
  | 'pure-import'
  | 'pure-ambient'
  | 'synchronous'
  | 'settings'
  | 'doc-comment'
  | 'file-length'
  | 'function-length';

/** One thing that is not as it should be. Only errors fail the check. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  readonly rule: Rule;
  /** Path from the root, with `/`. */
  readonly file: string;
  readonly line: number;
  /** What is wrong and what to do. */
  readonly message: string;
}

/** Text of each source file by its path from the root (`src/base/bytes.ts`). */
export type SourceTree = ReadonlyMap<string, string>;

const codeEnding = /\.[mc]?[jt]sx?$/;
const typescriptEnding = /\.[mc]?tsx?$/;

/** Reads the source files under `src/`, `client/` and `cli/` of `root`, whichever of them exist. */
export function readTree(root: string): SourceTree {
  const files = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const name of readdirSync(path.join(root, folder)).sort()) {
      const file = `${folder}/${name}`;
      if (name === 'node_modules') continue;
      if (statSync(path.join(root, file)).isDirectory()) walk(file);
      else if (codeEnding.test(name)) files.set(file, readFileSync(path.join(root, file), 'utf8'));
    }
  };
  for (const folder of ['src', ...OUTSIDE_FOLDERS.keys()]) {
    if (existsSync(path.join(root, folder))) walk(folder);
  }
  return files;
}

/** Everything that is wrong with a tree, by file and line. Empty for a house in order. */
export function checkTree(tree: SourceTree, limits: LengthLimits = LENGTH_LIMITS_DEFAULT): Finding[] {
  const findings: Finding[] = [];
  const graph = new Map<string, Edge[]>();
  for (const [file, text] of tree) checkFile(tree, file, text, limits, findings, graph);
  findCycles(graph, findings);
  return findings.sort((a, b) => compareText(a.file, b.file) || a.line - b.line);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Edge {
  readonly to: string;
  readonly line: number;
}

type Report = (severity: Finding['severity'], rule: Rule, line: number, message: string) => void;

function checkFile(
  tree: SourceTree,
  file: string,
  text: string,
  limits: LengthLimits,
  findings: Finding[],
  graph: Map<string, Edge[]>,
): void {
  const report: Report = (severity, rule, line, message) => {
    findings.push({ severity, rule, file, line, message });
  };
  const place = placeOf(file);
  if (place === undefined) {
    report('error', 'unknown-folder', 1, unknownFolderMessage(file));
    return;
  }
  let read: Tokens;
  try {
    read = tokenize(text);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    report('error', 'unreadable', error.line, `${error.message}: this file cannot be checked as it is`);
    return;
  }
  const edges: Edge[] = [];
  const laboratories = OUTSIDE_FOLDERS.get(place.root)?.laboratories ?? [];
  if (!laboratories.some((laboratory) => file.startsWith(laboratory))) {
    for (const site of importsOf(read.tokens)) checkImport(tree, file, place, site, edges, report);
  }
  graph.set(file, edges);
  if (isPure(place)) checkPurity(read.tokens, report);
  else if (mustBeTold(place)) checkSettings(read.tokens, report);
  if (typescriptEnding.test(file)) checkOpening(read, report);
  checkLengths(read, limits, report);
}

/** Where a file stands: its root folder, the folder that has a layer, and that layer. */
interface Place {
  readonly root: string;
  readonly folder: string;
  readonly layer: number;
}

/** Place of a path from the root, or undefined when it lies in no folder that has a layer. */
function placeOf(file: string): Place | undefined {
  const [root, folder, rest] = file.split('/');
  if (root !== undefined && OUTSIDE_FOLDERS.has(root)) return { root, folder: root, layer: LAYER_MAIN + 1 };
  if (root !== 'src' || folder === undefined || rest === undefined) return undefined;
  const layer = LAYERS.get(folder);
  return layer === undefined ? undefined : { root, folder, layer };
}

function isPure(place: Place): boolean {
  return place.root === 'src' && place.layer <= LAYER_PURE_MAX;
}

/** Below src/main, and in the process of an application, settings are options. */
function mustBeTold(place: Place): boolean {
  return place.root === 'embed' || (place.root === 'src' && place.layer < LAYER_MAIN);
}

function unknownFolderMessage(file: string): string {
  const parts = file.split('/');
  if (parts.length < 3) return 'a file directly under src/ has no layer: move it into a folder that has one';
  return `src/${parts[1]}/ has no layer: give it one in scripts/layers/rules.ts and a paragraph in ARCHITECTURE.md`;
}

function checkImport(
  tree: SourceTree,
  file: string,
  place: Place,
  site: ImportSite,
  edges: Edge[],
  report: Report,
): void {
  const { specifier, line } = site;
  if (specifier === undefined) {
    const advice = 'import by a written name, so that the layers can be checked';
    report('error', 'unresolved', line, `an import() of a computed name: ${advice}`);
  } else if (specifier.startsWith('.') || specifier.startsWith('/')) {
    const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier));
    if (mayImport(place, target, line, report)) {
      if (tree.has(target)) edges.push({ to: target, line });
      else if (codeEnding.test(target) || !path.posix.basename(target).includes('.')) {
        const advice = 'write the path with its ending (`./x.ts`), or add the file';
        report('error', 'unresolved', line, `\`${specifier}\` is not a source file: ${advice}`);
      }
    }
  } else if (isPure(place)) {
    checkPackage(specifier, line, report);
  } else {
    const modules = OUTSIDE_FOLDERS.get(place.root)?.modules;
    if (modules === undefined || modules.get(specifier) === file) return;
    const allowed = [...modules].map(([name, where]) => `${name} in ${where}`).join(', ');
    report(
      'error',
      'layer',
      line,
      `imports \`${specifier}\`, but ${place.root}/ has no more than ${allowed}`,
    );
  }
}

/** Whether a file at `place` may import `target`; says so if not. */
function mayImport(place: Place, target: string, line: number, report: Report): boolean {
  const other = placeOf(target);
  const refuse = (why: string): false => {
    report('error', 'layer', line, `imports ${target}, ${why}`);
    return false;
  };
  if (other === undefined) {
    return refuse(`which has no layer: source imports only from ${placesOf(place)}`);
  }
  if (other.root === place.root && other.folder === place.folder) return true;
  const outside = OUTSIDE_FOLDERS.get(place.root);
  if (outside !== undefined) {
    const isListed = outside.sources?.some((source) => target.startsWith(source)) ?? true;
    const isLow = other.layer <= outside.layerMax && isListed;
    const allowed = other.root === 'src' ? isLow : outside.folders.includes(other.root);
    return allowed || refuse(`which ${place.root}/ may not see: it imports only from ${placesOf(place)}`);
  }
  if (other.root !== 'src')
    return refuse(`but src/ knows nothing of ${other.root}/: turn the dependency round`);
  if (other.layer < place.layer) return true;
  const where = `layer ${other.layer}, from layer ${place.layer} (src/${place.folder})`;
  const advice =
    other.layer === place.layer
      ? 'folders of one layer do not know each other: move what both need lower'
      : 'data goes up as results and inputs: pass it in, or move what is needed lower';
  return refuse(`${where}: ${advice}`);
}

function placesOf(place: Place): string {
  const outside = OUTSIDE_FOLDERS.get(place.root);
  if (outside === undefined) return 'its own folder and the layers below';
  const sources = outside.sources ?? [`layers 0 to ${outside.layerMax} of src`];
  return [place.root, ...outside.folders, ...sources].join(', ');
}

function checkPackage(specifier: string, line: number, report: Report): void {
  const parts = specifier.split('/');
  const name = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]!;
  if (isBuiltin(specifier)) {
    const advice = 'reach it through a port, with the adapter in src/adapters';
    report('error', 'pure-import', line, `a pure layer imports \`${specifier}\` of Node.js: ${advice}`);
  } else if (!PURE_PACKAGES.has(name)) {
    const advice =
      'write it, move it above layer 5, or argue in docs/decisions/ that it does no IO and allow it';
    report('error', 'pure-import', line, `a pure layer imports the package \`${name}\`: ${advice}`);
  }
}

/** Layers 0 to 5: nothing from the surroundings, and nothing later. */
function checkPurity(tokens: readonly Token[], report: Report): void {
  const ambient = (line: number, what: string, advice: string): void => {
    report(
      'error',
      'pure-ambient',
      line,
      `\`${what}\` in a pure layer: ${advice} (rename it if it is your own)`,
    );
  };
  tokens.forEach(({ kind, text, line }, i) => {
    if (kind !== 'word') return;
    if (isMember(tokens, i)) {
      if (AMBIENT_MEMBERS.has(text)) ambient(line, text, 'it depends on the locale of the machine');
      if (text === 'then' && isPunctuation(tokens[i + 1], '(')) reportLater(line, '.then(', report);
      return;
    }
    if (isKey(tokens, i)) return;
    const advice = AMBIENT.get(text);
    if (advice !== undefined) ambient(line, text, advice);
    if (ASYNCHRONOUS.has(text)) reportLater(line, text, report);
    if (text === 'import' && isPunctuation(tokens[i + 1], '.')) {
      ambient(line, 'import.meta', 'take it as an option from src/main');
    }
    if (text === 'import' && isPunctuation(tokens[i + 1], '(')) {
      reportLater(line, 'import(', report);
    }
    if (text === 'Math' && !isPunctuation(tokens[i + 1], '.')) {
      ambient(line, 'Math', 'write out `Math.…`, so that `Math.random` cannot hide');
    }
    if (text === 'Math' && isPunctuation(tokens[i + 1], '.') && tokens[i + 2]?.text === 'random') {
      ambient(line, 'Math.random', 'use the Random port, or a Prng with a given seed');
    }
  });
}

function reportLater(line: number, what: string, report: Report): void {
  const advice = 'layers 0 to 5 are synchronous: call `done`, or come back as an input';
  report('error', 'synchronous', line, `\`${what}\` in a pure layer: ${advice}`);
}

/** Below src/main nothing looks at the command line or the environment. */
function checkSettings(tokens: readonly Token[], report: Report): void {
  const refuse = (line: number, what: string): void => {
    const advice = 'only src/main reads the command line and the environment: take it as an option';
    report('error', 'settings', line, `\`${what}\`: ${advice}`);
  };
  const settings = ['argv', 'argv0', 'env', 'execArgv', 'loadEnvFile'];
  tokens.forEach(({ kind, text, line }, i) => {
    if (kind !== 'word' || isKey(tokens, i)) return;
    const next = tokens[i + 1];
    const isProcess = text === 'process' && (!isMember(tokens, i) || tokens[i - 2]?.text === 'globalThis');
    if (isProcess && isPunctuation(next, '.', '?.')) {
      const member = tokens[i + 2]?.text ?? '';
      if (settings.includes(member)) refuse(line, `process.${member}`);
    } else if (isProcess && (isPunctuation(next, '[') || isPunctuation(tokens[i - 1], '='))) {
      refuse(line, 'process as a value');
    } else if (text === 'parseArgs' && !isMember(tokens, i)) {
      refuse(line, 'parseArgs');
    } else if (text === 'from' && ['process', 'node:process'].includes(next?.text ?? '')) {
      if (isPunctuation(tokens[i - 1], '}')) refuse(line, 'import { … } from node:process');
    }
  });
}

function checkOpening(read: Tokens, report: Report): void {
  const words = read.opening?.replace(/[/*\s]/g, '') ?? '';
  if (read.opening?.startsWith('/**') && words.length > 0) return;
  const advice = 'what it is, why it is so, the picture to have in mind';
  report(
    'error',
    'doc-comment',
    1,
    `the file does not open with a doc comment: begin with \`/** … */\`: ${advice}`,
  );
}

function checkLengths(read: Tokens, limits: LengthLimits, report: Report): void {
  const { lines } = read;
  if (lines > limits.fileLinesWarn) {
    const severity = lines > limits.fileLinesMax ? 'error' : 'warning';
    const advice = `aim for ${limits.fileLinesWarn}, never above ${limits.fileLinesMax}: split it by what it knows`;
    report(severity, 'file-length', 1, `the file has ${lines} lines: ${advice}`);
  }
  for (const site of functionsOf(read.tokens)) {
    if (site.lines <= limits.functionLinesWarn) continue;
    const severity = site.lines > limits.functionLinesMax ? 'error' : 'warning';
    const advice = `aim for ${limits.functionLinesWarn}, never above ${limits.functionLinesMax}: give its steps names`;
    report(severity, 'function-length', site.line, `${site.name} has ${site.lines} lines: ${advice}`);
  }
}

/** Strongly connected files (Tarjan 1972); each group is one finding, shown as a shortest round trip. */
function findCycles(graph: ReadonlyMap<string, readonly Edge[]>, findings: Finding[]): void {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    low.set(file, index.get(file)!);
    stack.push(file);
    for (const { to } of graph.get(file) ?? []) {
      if (!index.has(to)) visit(to);
      if (stack.includes(to)) low.set(file, Math.min(low.get(file)!, low.get(to)!));
    }
    if (low.get(file) !== index.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1 || graph.get(file)?.some(({ to }) => to === file)) {
      findings.push(cycleFinding(graph, group));
    }
  };
  for (const file of graph.keys()) if (!index.has(file)) visit(file);
}

function cycleFinding(graph: ReadonlyMap<string, readonly Edge[]>, group: readonly string[]): Finding {
  const start = [...group].sort(compareText)[0]!;
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (let i = 0; i < queue.length && !cameFrom.has(start); i++) {
    for (const { to } of graph.get(queue[i]!) ?? []) {
      if (!group.includes(to) || cameFrom.has(to)) continue;
      cameFrom.set(to, queue[i]!);
      queue.push(to);
    }
  }
  const trip = [start];
  for (let at = cameFrom.get(start)!; at !== start; at = cameFrom.get(at)!) trip.unshift(at);
  trip.unshift(start);
  const line = graph.get(start)!.find(({ to }) => to === trip[1])!.line;
  const message = `a cycle of imports: ${trip.join(' → ')}: move what both need into a file below them`;
  return { severity: 'error', rule: 'cycle', file: start, line, message };
}

/** A finding as one line: `file:line: error [rule] message`. */
export function formatFinding(finding: Finding): string {
  return `${finding.file}:${finding.line}: ${finding.severity} [${finding.rule}] ${finding.message}`;
}
