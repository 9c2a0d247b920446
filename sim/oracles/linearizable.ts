/**
 * P6: under a strict policy with R+W>N each key is a linearizable register.
 *
 * Gibbons and Korach ("Testing shared memories", 1997): when every write has its own value, the reads
 * of a value and its write form a cluster, and a cluster is a zone on the time line: from the first
 * return in it to the last invocation. If the return comes first the value must have been current
 * throughout (a *forward* zone); else it may have been current for a moment anywhere between (a
 * *backward* zone). The history is linearizable exactly if no read ends before its write begins, no
 * two forward zones overlap, and no backward zone lies within a forward one. Sorting decides that:
 * O(n log n), and exact.
 *
 * A write whose outcome is unknown may take effect at any later time: if its value was read it is a
 * write that never returned, else it is left out. A write that failed must never be read. The value
 * "nothing" was written before the beginning.
 *
 * Beside the zones stands the search of `sim/linearizability/`, which decides the same question by other
 * means. Both judge every key, and must agree: where they do not, one of the judges is wrong, and that
 * is a finding like any other. Keys with deletes only the search can judge, since deletes are writes of
 * one value, nothing. A key that the search cannot decide has not passed.
 */

import type { OpRecord } from '../history.ts';
import { judgeKey } from '../linearizability/checker.ts';
import { REGISTER, type RegisterAction } from '../linearizability/model.ts';
import type { Operation } from '../linearizability/search.ts';
import { type Finding, opText, type RunRecord } from './oracle.ts';

/** A request on a register. `value` is unique among writes; 0 is what was there at the beginning. */
export interface RegisterOp {
  readonly write: boolean;
  readonly value: number;
  readonly invoke: number;
  /** Infinity for one that never returned. */
  readonly return: number;
}

interface Cluster {
  readonly value: number;
  write: RegisterOp | undefined;
  /** First return and last invocation of the cluster. */
  firstReturn: number;
  lastInvoke: number;
  reads: number;
}

interface Zone {
  readonly value: number;
  readonly from: number;
  readonly to: number;
}

/** The reason why a history of one register is not linearizable, or undefined if it is. */
export function registerFault(ops: readonly RegisterOp[]): string | undefined {
  const clusters = new Map<number, Cluster>();
  const initial: RegisterOp = {
    write: true,
    value: 0,
    invoke: Number.NEGATIVE_INFINITY,
    return: Number.NEGATIVE_INFINITY,
  };
  for (const op of [initial, ...ops]) {
    let cluster = clusters.get(op.value);
    if (cluster === undefined) {
      cluster = {
        value: op.value,
        write: undefined,
        firstReturn: Number.POSITIVE_INFINITY,
        lastInvoke: Number.NEGATIVE_INFINITY,
        reads: 0,
      };
      clusters.set(op.value, cluster);
    }
    if (op.write) cluster.write = op;
    else cluster.reads++;
    cluster.firstReturn = Math.min(cluster.firstReturn, op.return);
    cluster.lastInvoke = Math.max(cluster.lastInvoke, op.invoke);
  }
  const forward: Zone[] = [];
  const backward: Zone[] = [];
  for (const cluster of clusters.values()) {
    const { value, write, firstReturn, lastInvoke } = cluster;
    if (write === undefined) return `value ${value} was read and never written`;
    if (cluster.reads === 0 && write.return === Number.POSITIVE_INFINITY) continue;
    if (firstReturn < write.invoke) return `value ${value} was read before it was written`;
    if (firstReturn < lastInvoke) forward.push({ value, from: firstReturn, to: lastInvoke });
    else backward.push({ value, from: lastInvoke, to: firstReturn });
  }
  return zonesFault(forward, backward);
}

function zonesFault(forward: Zone[], backward: readonly Zone[]): string | undefined {
  forward.sort((a, b) => a.from - b.from);
  for (let i = 1; i < forward.length; i++) {
    const before = forward[i - 1]!;
    const zone = forward[i]!;
    if (zone.from < before.to) {
      return `values ${before.value} and ${zone.value} must both have been current at one time`;
    }
  }
  for (const zone of backward) {
    const around = lastAtOrBefore(forward, zone.from);
    if (around !== undefined && around.from < zone.from && zone.to < around.to) {
      return `value ${zone.value} was written while value ${around.value} must have been current throughout`;
    }
  }
  return undefined;
}

/** The forward zone that begins last, not after `time`. */
function lastAtOrBefore(zones: readonly Zone[], time: number): Zone | undefined {
  let low = 0;
  let high = zones.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (zones[middle]!.from <= time) low = middle + 1;
    else high = middle;
  }
  return zones[low - 1];
}

/** The history of one key as a register; undefined for a request that says nothing. */
export function asRegisterOp(op: OpRecord): RegisterOp | undefined {
  if (op.kind === 'read') {
    if (op.outcome !== 'ok') return undefined;
    return { write: false, value: op.seen, invoke: op.invokeOrder, return: op.returnOrder };
  }
  if (op.kind !== 'write' || op.outcome === 'fail' || op.outcome === 'none') return undefined;
  const end = op.outcome === 'ok' ? op.returnOrder : Number.POSITIVE_INFINITY;
  return { write: true, value: op.id, invoke: op.invokeOrder, return: end };
}

export function judgeLinearizable(run: RunRecord): Finding[] {
  const { plan } = run;
  if (!plan.strict || plan.r + plan.w <= plan.n || plan.siblings !== undefined) return [];
  const ofKey = new Map<number, OpRecord[]>();
  for (const op of run.history) {
    if (op.kind === 'flush') return [];
    if (op.kind === 'incr') continue;
    const ops = ofKey.get(op.key);
    if (ops === undefined) ofKey.set(op.key, [op]);
    else ops.push(op);
  }
  return [...ofKey].flatMap(([key, ops]) => judgeKeyOfRun(run, key, ops));
}

function judgeKeyOfRun(run: RunRecord, key: number, ops: readonly OpRecord[]): Finding[] {
  // Time takes values away and an update is no register's: such keys promise less.
  if (ops.some(({ kind }) => kind === 'expire' || kind === 'setnx')) return [];
  const actions = ops.flatMap((op) => asOperation(op) ?? []);
  const { verdict, text } = judgeKey(key, REGISTER, actions, undefined, placeText);
  const finding = (words: string): Finding => ({ oracle: 'P6', text: words });
  if (verdict === 'unknown') return [finding(`key${key} is ${text}`)];
  // Deletes all write the same, nothing: the zones cannot tell them apart.
  if (ops.some(({ kind }) => kind === 'delete')) {
    return verdict === 'violated' ? [finding(`key${key} is not linearizable: ${text}`)] : [];
  }
  const fault = registerFault(ops.flatMap((op) => asRegisterOp(op) ?? []));
  if ((fault !== undefined) !== (verdict === 'violated')) {
    const zones = fault ?? 'linearizable';
    return [
      finding(`the judges of key${key} disagree: zones say ${zones}; the search says ${verdict}\n${text}`),
    ];
  }
  return fault === undefined ? [] : [finding(`${faultText(run, key, fault)}\n${text}`)];
}

/** The same for the search, which knows deletes. */
function asOperation(op: OpRecord): Operation<RegisterAction> | undefined {
  if (op.kind === 'delete') {
    if (op.outcome === 'fail' || op.outcome === 'none') return undefined;
    const end = op.outcome === 'ok' ? op.returnOrder : Number.POSITIVE_INFINITY;
    return { invoke: op.invokeOrder, return: end, action: { kind: 'delete' } };
  }
  const registerOp = asRegisterOp(op);
  if (registerOp === undefined) return undefined;
  const { write, value, invoke, return: end } = registerOp;
  const held = value === 0 ? null : value;
  return { invoke, return: end, action: { kind: write ? 'write' : 'read', value: held } };
}

/** Times are places among all invocations and returns. */
function placeText(place: number): string {
  return `place ${place}`;
}

/** The fault, and the requests on the values it names. */
function faultText(run: RunRecord, key: number, fault: string): string {
  const values = [...fault.matchAll(/\d+/g)].map((match) => Number(match[0]));
  const lines = run.history
    .filter((op) => op.key === key && op.kind !== 'incr')
    .filter(
      (op) =>
        values.includes(op.kind === 'read' ? op.seen : op.id) && (op.kind !== 'read' || op.outcome === 'ok'),
    )
    .slice(0, 20)
    .map((op) => {
      const end = op.outcome === 'ok' ? `${(op.returnedAt / 1000).toFixed(3)} ms` : op.outcome;
      return `    ${opText(op)} to ${end}${op.kind === 'read' ? `: value ${op.seen}` : `: writes value ${op.id}`}`;
    });
  return `key${key} is not linearizable: ${fault}\n${lines.join('\n')}`;
}
