/**
 * The history: every request of every client, when it was sent, when it was answered and what it was told.
 * Values are unique, so a value that is read names the write it came from.
 */

/** Keys by what is promised of them. */
export type Group =
  /** Policy PC/EC: each key is a linearizable register. */
  | 'strict'
  /** Policy PA/EC: keys that are written again and again. */
  | 'loose'
  /** Policy PA/EC: keys that are written once and stay. */
  | 'once'
  /** Policy PA/EC: keys that are written, deleted and left alone. */
  | 'gone'
  /** Policy PA/EC: keys that expire. */
  | 'ttl';

export type OpKind = 'read' | 'write' | 'delete';

export interface Op {
  readonly id: number;
  readonly group: Group;
  readonly key: string;
  readonly kind: OpKind;
  /** Of a write: its value. */
  readonly value: string;
  readonly client: string;
  /** Milliseconds from the beginning of the load. */
  readonly at: number;
  /** When it was answered, or given up at its deadline; NaN while it is under way. */
  end: number;
  /** `fail`: certainly not applied. */
  outcome: 'pending' | 'ok' | 'fail' | 'unknown';
  /** Of one that was not ok: the first word of the error, or what happened. */
  code: string;
  /** Of a read that was ok: what it saw. Of a delete: null, or the number it answered in `removed`. */
  seen: string | null;
  /** Of a delete that was ok: whether it says that there was something. */
  removed: boolean;
  /** Of a write of a key that expires: when it was to be gone, on the clock of `at`. */
  expireAt: number;
}

/** When an operation was over, as far as the data are concerned: never, if its outcome is unknown. */
export function endOf(op: Op): number {
  return op.outcome === 'ok' ? op.end : Number.POSITIVE_INFINITY;
}

/** Whether a write or delete may have been applied. */
export function mayApply(op: Op): boolean {
  return op.kind !== 'read' && op.outcome !== 'fail';
}

export function byKey(ops: readonly Op[]): Map<string, Op[]> {
  const keys = new Map<string, Op[]>();
  for (const op of ops) {
    const list = keys.get(op.key);
    if (list === undefined) keys.set(op.key, [op]);
    else list.push(op);
  }
  return keys;
}
