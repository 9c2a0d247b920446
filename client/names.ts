/**
 * Names of options, checked when the program runs. TypeScript does so only where an object is written out in the call,
 * and plain JavaScript never: an option that nobody reads would be passed over, and `{ ttl: 5 }` store a value for ever.
 *
 * The picture: a form with a field that does not exist on it. The clerk hands it back instead of ignoring the field.
 */

import { invalid } from './errors.ts';

/** Names that may be said, of something that is called so in errors. */
export interface Names {
  readonly of: string;
  readonly known: ReadonlySet<string>;
}

function names(of: string, ...known: readonly string[]): Names {
  return { of, known: new Set(known) };
}

// One list for all calls: that a get is told a time to live does no harm, and an update hands on what it was told.
const call = ['signal', 'deadlineMs', 'consistency', 'merge', 'fresh', 'context', 'ttlMs', 'repeat'];

export const CALL_NAMES: Names = names('a call', ...call);
export const SCAN_NAMES: Names = names('scan', 'prefix', 'count', 'signal', 'deadlineMs');
export const LINE_NAMES: Names = names(
  'a line of a batch',
  ...['get', 'put', 'delete', 'value', 'ttlMs', 'context'],
);
export const SPACE_NAMES: Names = names(
  'a space',
  ...['codec', 'merge', 'consistency', 'ttlMs', 'repeatWrites'],
);
export const CONSISTENCY_NAMES: Names = names('consistency', 'preset', 'r', 'w', 'quorum', 'conflicts');
export const CONNECT_NAMES: Names = names(
  'connect',
  ...['nodes', 'password', 'codec', 'merge', 'consistency', 'repeatWrites', 'deadlineMs', 'retryBudget'],
  ...['nearCache', 'routing', 'connectionsPerNode', 'callsMax', 'inFlightMax', 'outboxBytesMax'],
  ...[
    'connectTimeoutMs',
    'pingIntervalMs',
    'silenceMsMax',
    'topologyRefreshMs',
    'clientName',
    'dial',
    'random',
  ],
);
export const BUDGET_NAMES: Names = names('retryBudget', 'share', 'reserve', 'attemptsMax');
export const NEAR_CACHE_NAMES: Names = names('nearCache', 'entriesMax', 'bytesMax', 'ttlMs');

/** @throws DureError `invalid` for a name that is not known, or what has no names at all */
export function checkNames(given: object | undefined, { of, known }: Names): void {
  if (given === undefined) return;
  if (given === null || typeof given !== 'object') throw invalid(`${of} takes an object with options`);
  for (const name in given) {
    if (known.has(name)) continue;
    throw invalid(`\`${name}\` is no option of ${of}: expected ${[...known].join(', ')}`);
  }
}
