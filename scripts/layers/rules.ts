/**
 * The layers of the house and the limits of its rooms, as data (DESIGN "The house", drawn in
 * ARCHITECTURE.md). Whoever adds a folder under `src/` adds its line here and says what it may stand on.
 */

/** Layer of each folder under `src/`: a file imports only strictly lower layers or its own folder. */
export const LAYERS: ReadonlyMap<string, number> = new Map([
  ['base', 0],
  ['ports', 1],
  ['causality', 1],
  ['ring', 1],
  ['paxos', 1],
  ['merkle', 1],
  ['resp', 1],
  ['rows', 2],
  ['topology', 2],
  ['membership', 2],
  ['wire', 2],
  ['replica', 3],
  ['coordinator', 3],
  ['hints', 3],
  ['repair', 3],
  ['node', 4],
  ['commands', 5],
  ['autoscale', 5],
  ['server', 6],
  ['http', 6],
  ['adapters', 6],
  ['main', 7],
]);

/** Layers up to this one are pure and synchronous. */
export const LAYER_PURE_MAX = 5;

/** The layer that alone reads the command line and the environment. */
export const LAYER_MAIN = 7;

/** Folders beside `src/`: the highest layer of `src/` they see, and which of each other. */
export interface OutsideFolder {
  readonly layerMax: number;
  readonly folders: readonly string[];
  /** Of these layers only these files and folders (`src/base/`); all of them when left out. */
  readonly sources?: readonly string[];
  /** Below it: what is run and not copied, whose imports are its own affair. */
  readonly laboratories?: readonly string[];
  /** Modules of Node.js and packages it may import, and the one file that may; any when left out. */
  readonly modules?: ReadonlyMap<string, string>;
}

/**
 * The client shares bytes, the protocol codec and the slots with a node, never the node itself; it is small,
 * has no dependencies, and one file of it knows TCP.
 */
export const OUTSIDE_FOLDERS: ReadonlyMap<string, OutsideFolder> = new Map([
  [
    'client',
    {
      layerMax: 1,
      folders: [],
      sources: ['src/base/', 'src/resp/', 'src/ring/slots.ts'],
      modules: new Map([['node:net', 'client/socket.ts']]),
    },
  ],
  ['cli', { layerMax: 1, folders: ['client'] }],
  // An embedded node is a composition root like src/main, and speaks to programs as the client does.
  ['embed', { layerMax: LAYER_MAIN, folders: ['client'] }],
  // Examples show the doors of the package and see nothing behind them: what a reader copies must run there too.
  [
    'examples',
    {
      layerMax: LAYER_MAIN,
      folders: ['client', 'embed'],
      sources: [],
      laboratories: ['examples/consistency/'],
    },
  ],
]);

/** npm packages that layers 0 to 5 may import: those that do no IO and read no clock. None so far. */
export const PURE_PACKAGES: ReadonlySet<string> = new Set<string>();

/** Names that bring in time, randomness, timers, environment or IO, and what to use instead. */
export const AMBIENT: ReadonlyMap<string, string> = new Map([
  ...each('Date performance Temporal', 'take `now` as an argument, or the Clock port'),
  ...each('crypto', 'use the Random port'),
  ...each(
    'setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask MessageChannel AbortSignal',
    'let the driver call `tick`, or use the Turn port',
  ),
  ...each('WeakRef FinalizationRegistry', 'do not depend on when garbage is collected'),
  ...each('process navigator __dirname __filename', 'take it as an option from src/main'),
  ...each('Buffer', 'use Uint8Array and src/base/bytes.ts'),
  ...each('console', 'use the Log port'),
  ...each(
    'fetch XMLHttpRequest WebSocket EventSource BroadcastChannel Worker localStorage sessionStorage indexedDB',
    'move it to src/adapters behind a port',
  ),
  ...each('globalThis global require eval', 'name what you need and import it'),
  ...each('Intl', 'compare and format without a locale'),
]);

/** Members that read the machine's locale: two nodes would differ. */
export const AMBIENT_MEMBERS: ReadonlySet<string> = new Set([
  'localeCompare',
  'toLocaleString',
  'toLocaleDateString',
  'toLocaleTimeString',
  'toLocaleUpperCase',
  'toLocaleLowerCase',
]);

/** Words of asynchronous code. */
export const ASYNCHRONOUS: ReadonlySet<string> = new Set([
  'async',
  'await',
  'Promise',
  'PromiseLike',
  'AsyncIterable',
  'AsyncIterator',
  'AsyncIterableIterator',
  'AsyncGenerator',
  'AsyncDisposable',
]);

/** Lengths in lines: above `Warn` a warning, above `Max` an error. */
export interface LengthLimits {
  readonly fileLinesWarn: number;
  readonly fileLinesMax: number;
  readonly functionLinesWarn: number;
  readonly functionLinesMax: number;
}

export const LENGTH_LIMITS_DEFAULT: LengthLimits = {
  fileLinesWarn: 500,
  fileLinesMax: 600,
  functionLinesWarn: 70,
  functionLinesMax: 120,
};

function each(names: string, advice: string): [string, string][] {
  return names.split(' ').map((name) => [name, advice]);
}
