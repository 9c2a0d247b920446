/**
 * Judges a finished history: which promise of `docs/guarantees.md` was broken, and by which requests.
 *
 * | Promise | How it is judged |
 * |---|---|
 * | P1 nothing acknowledged is lost | every key, read at the end through every node, holds a write that no acknowledged one followed |
 * | P2 what failed is not applied | no read ever saw the value of a write that was answered `fail` |
 * | P4 deleted keys do not return | a key that was deleted or expired, and not written again, is missing at the end |
 * | P6 strict keys are registers | the linearizability search, and by itself: no read went backwards |
 */

import { judgeKey } from '../../sim/linearizability/checker.ts';
import { REGISTER, type RegisterAction } from '../../sim/linearizability/model.ts';
import type { Operation } from '../../sim/linearizability/search.ts';
import { byKey, endOf, mayApply, type Op } from './history.ts';

/**
 * Two writes closer than this, milliseconds, may be ordered either way where clocks decide (policies
 * `PA/…`): the clocks of all nodes are one here, but it counts whole milliseconds.
 */
const looseOrderMs = 5;
/** Reads of expired keys are judged only when they began so long after. */
const expiryMarginMs = 1000;
/** Examples told of a broken promise. */
const examplesMax = 5;

export interface Broken {
  readonly promise: string;
  readonly count: number;
  readonly examples: readonly string[];
}

export interface Judgement {
  /** Keys of which an acknowledged write is lost. */
  readonly lost: number;
  readonly failedSeen: number;
  readonly deletedReturned: number;
  readonly expiredReturned: number;
  readonly readsBackwards: number;
  readonly strictViolated: number;
  /** Strict keys whose search reached its bound: not passed. */
  readonly strictUnknown: number;
  readonly strictKeys: number;
  readonly strictOperations: number;
  /** Reads at the end that got no answer: those keys are not known to be well. */
  readonly unread: number;
  /** Allowed under `PA/…`, but good to know: reads that missed an acknowledged write. */
  readonly staleReads: number;
  readonly broken: readonly Broken[];
}

/** @param history of clients under load @param final reads of every key through every node, at rest */
export function judge(history: readonly Op[], final: readonly Op[]): Judgement {
  const writer = new Map<string, Op>();
  for (const op of history) if (op.kind === 'write') writer.set(op.value, op);
  const ofKey = byKey(history);
  const finalOfKey = byKey(final);
  const lost: string[] = [];
  const deleted: string[] = [];
  const expired: string[] = [];
  for (const [key, reads] of finalOfKey) {
    judgeEnd(ofKey.get(key) ?? [], reads, writer, { lost, deleted, expired });
  }
  for (const op of history) {
    if (op.kind !== 'read' || op.outcome !== 'ok' || op.seen === null) continue;
    const write = writer.get(op.seen);
    if (write !== undefined && op.at > write.expireAt + expiryMarginMs) expired.push(opText(op));
  }
  const failedSeen = [...history, ...final]
    .filter((op) => op.kind === 'read' && op.seen !== null && writer.get(op.seen)?.outcome === 'fail')
    .map((op) => `${opText(op)}: of ${opText(writer.get(op.seen!)!)}`);
  const strict = judgeStrict(history, final, writer);
  const unread = final.filter((op) => op.outcome !== 'ok');
  const broken: Broken[] = [];
  const add = (promise: string, findings: readonly string[]): void => {
    if (findings.length === 0) return;
    broken.push({ promise, count: findings.length, examples: findings.slice(0, examplesMax) });
  };
  add('an acknowledged write was lost', lost);
  add('a write that failed was seen', failedSeen);
  add('a deleted key returned', deleted);
  add('an expired key returned', expired);
  add('a strict read went backwards', strict.backwards);
  add('a strict key is not linearizable', strict.violated);
  add('a strict key could not be decided, which is not passed', strict.unknown);
  add('a key could not be read at the end', unread.map(opText));
  return {
    lost: lost.length,
    failedSeen: failedSeen.length,
    deletedReturned: deleted.length,
    expiredReturned: expired.length,
    readsBackwards: strict.backwards.length,
    strictViolated: strict.violated.length,
    strictUnknown: strict.unknown.length,
    strictKeys: strict.keys,
    strictOperations: strict.operations,
    unread: unread.length,
    staleReads: countStale(ofKey, writer),
    broken,
  };
}

interface EndFindings {
  readonly lost: string[];
  readonly deleted: string[];
  readonly expired: string[];
}

/** The last state of a key. One finding a key at most. */
function judgeEnd(
  ops: readonly Op[],
  reads: readonly Op[],
  writer: ReadonlyMap<string, Op>,
  findings: EndFindings,
): void {
  const applied = ops.filter(mayApply);
  const acknowledged = applied.filter((op) => op.outcome === 'ok');
  for (const read of reads) {
    if (read.outcome !== 'ok') continue;
    const write = read.seen === null ? undefined : writer.get(read.seen);
    if (write !== undefined && read.at > write.expireAt + expiryMarginMs) {
      findings.expired.push(`${opText(read)}: of ${opText(write)}`);
      return;
    }
    const newer = acknowledged.filter((op) => follows(op, read.seen, applied, writer));
    if (newer.length === 0) continue;
    const last = newer.reduce((a, b) => (a.at > b.at ? a : b));
    // Time may have taken what was written.
    if (last.kind === 'write' && read.seen === null && read.at > last.expireAt - expiryMarginMs) continue;
    const text = `${opText(read)}, after ${opText(last)}`;
    if (last.kind === 'delete') findings.deleted.push(text);
    else findings.lost.push(text);
    return;
  }
}

/** Whether an acknowledged write certainly came after everything that explains `seen`. */
function follows(
  op: Op,
  seen: string | null,
  applied: readonly Op[],
  writer: ReadonlyMap<string, Op>,
): boolean {
  if (seen !== null) {
    const write = writer.get(seen);
    return write === undefined || op.at > endOf(write) + looseOrderMs;
  }
  if (op.kind === 'delete') return false;
  // Nothing is explained by the beginning, or by any delete or expiry that may have come after the write.
  return applied.every((other) => other.kind !== 'delete' || op.at > endOf(other) + looseOrderMs);
}

interface StrictFindings {
  readonly backwards: string[];
  readonly violated: string[];
  readonly unknown: string[];
  keys: number;
  operations: number;
}

function judgeStrict(
  history: readonly Op[],
  final: readonly Op[],
  writer: ReadonlyMap<string, Op>,
): StrictFindings {
  const findings: StrictFindings = { backwards: [], violated: [], unknown: [], keys: 0, operations: 0 };
  const isStrict = (op: Op): boolean => op.group === 'strict';
  for (const [key, ops] of byKey([...history.filter(isStrict), ...final.filter(isStrict)])) {
    const operations = ops.flatMap((op) => toOperation(op) ?? []);
    findings.keys++;
    findings.operations += operations.length;
    const { verdict, text } = judgeKey(key, REGISTER, operations, undefined, timeText);
    if (verdict === 'violated') findings.violated.push(`${key}: ${text}`);
    if (verdict === 'unknown') findings.unknown.push(`${key}: ${text}`);
    findings.backwards.push(...backwardReads(ops, writer));
  }
  return findings;
}

function toOperation(op: Op): Operation<RegisterAction> | undefined {
  if (op.kind === 'read') {
    if (op.outcome !== 'ok') return undefined;
    return { invoke: op.at, return: op.end, action: { kind: 'read', value: shortValue(op.seen) } };
  }
  if (!mayApply(op)) return undefined;
  const action: RegisterAction =
    op.kind === 'delete' ? { kind: 'delete' } : { kind: 'write', value: shortValue(op.value) };
  return { invoke: op.at, return: endOf(op), action };
}

/** Reads that saw a value which was certainly older than one that an earlier read saw or that was acknowledged. */
function backwardReads(ops: readonly Op[], writer: ReadonlyMap<string, Op>): string[] {
  const events = ops
    .filter((op) => op.outcome === 'ok' && (op.kind === 'write' || (op.kind === 'read' && op.seen !== null)))
    .map((op) => ({ op, write: op.kind === 'write' ? op : writer.get(op.seen!) }));
  const byEnd = [...events].sort((a, b) => a.op.end - b.op.end);
  const byCall = [...events].sort((a, b) => a.op.at - b.op.at);
  const found: string[] = [];
  let next = 0;
  let newest: Op | undefined;
  for (const { op, write } of byCall) {
    while (next < byEnd.length && byEnd[next]!.op.end < op.at) {
      const known = byEnd[next++]!.write;
      if (known !== undefined && (newest === undefined || known.at > newest.at)) newest = known;
    }
    if (op.kind !== 'read' || newest === undefined || write === undefined) continue;
    if (endOf(write) < newest.at) found.push(`${opText(op)}, when ${shortValue(newest.value)} was known`);
  }
  return found;
}

/** Reads of `PA/…` keys that missed a write which was acknowledged before they began. */
function countStale(ofKey: ReadonlyMap<string, readonly Op[]>, writer: ReadonlyMap<string, Op>): number {
  let stale = 0;
  for (const ops of ofKey.values()) {
    if (ops[0]!.group !== 'once' && ops[0]!.group !== 'loose') continue;
    const applied = ops.filter(mayApply);
    const acknowledged = applied
      .filter((op) => op.kind === 'write' && op.outcome === 'ok')
      .sort((a, b) => a.end - b.end);
    const reads = ops.filter((op) => op.kind === 'read' && op.outcome === 'ok').sort((a, b) => a.at - b.at);
    let next = 0;
    let newest: Op | undefined;
    for (const read of reads) {
      while (next < acknowledged.length && acknowledged[next]!.end < read.at) {
        const write = acknowledged[next++]!;
        if (newest === undefined || write.at > newest.at) newest = write;
      }
      if (newest !== undefined && follows(newest, read.seen, applied, writer)) stale++;
    }
  }
  return stale;
}

function shortValue(value: string | null): string | null {
  return value === null ? null : value.slice(0, value.indexOf('.'));
}

function timeText(ms: number): string {
  return `${(ms / 1000).toFixed(4)} s`;
}

/** A request in words. */
export function opText(op: Op): string {
  const what = op.kind === 'write' ? `write ${shortValue(op.value)}` : op.kind;
  const saw = op.kind === 'read' && op.outcome === 'ok' ? ` saw ${shortValue(op.seen) ?? 'nothing'}` : '';
  const outcome = op.outcome === 'ok' ? '' : ` ${op.outcome} ${op.code}`;
  return `${what} of ${op.key}${saw}${outcome} by ${op.client} (${timeText(op.at)} to ${timeText(op.end)})`;
}
