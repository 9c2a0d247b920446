/**
 * P5: concurrent writes under policy `siblings` are all kept, and only truly concurrent ones are.
 *
 * The picture: a family tree, drawn from the testimony of the clients alone. Each write has as parents the values
 * its client had been shown with the context it wrote with, and as ancestors theirs too. What has no descendant
 * must be there at the end; what is an ancestor of an acknowledged write must not. Nothing in here knows of dots
 * and vectors; only for what the clock decides (flushes, writes under `last-write-wins`) the witness is asked.
 *
 * - *lost*: an acknowledged value is missing that no write which may have taken effect descends from. Judged on all
 *   disks when chaos ends, on the replicas' disks after recovery, and of reads after healing; of strict reads
 *   with R+W>N also during chaos.
 * - *falsely concurrent*: a value is shown although a write was acknowledged that descends from it.
 * - What a flush ended, or a time of expiry, or a later plain write, does not come back.
 * - What was read stays, when every process was killed once more.
 */

import { versionsOf } from '../../src/causality/version-set.ts';
import type { Row } from '../../src/rows/row.ts';
import { compareStamps, type Stamp } from '../../src/rows/row.ts';
import { liveVersions, versionsOfRow } from '../../src/rows/siblings.ts';
import { ABILITIES, hasForgetful, hasWildClocks, isMadeEqual } from '../faults.ts';
import { idOf, type OpRecord } from '../history.ts';
import { keyOf } from '../workload.ts';
import { type Finding, opText, type RunRecord } from './oracle.ts';

/** Clocks differ by less than this, milliseconds. */
const doubtMs = 1500;

export function judgeSiblings(run: RunRecord): Finding[] {
  if (run.plan.siblings === undefined || hasWildClocks(run.plan)) return [];
  const family = new Family(run);
  return [
    ...judgeDisks(run, family),
    ...judgeReads(run, family),
    ...judgeStrictReads(run, family),
    ...judgeStays(run, family),
  ];
}

/** Whether a request may have changed its key. */
function mayHaveTaken(op: OpRecord): boolean {
  if (op.outcome === 'fail' || op.outcome === 'none') return false;
  if (op.kind === 'setnx') return op.outcome !== 'ok' || op.reply === 1;
  return op.kind === 'write' || op.kind === 'delete' || op.kind === 'expire';
}

/** The writes of a run, and who descends from whom. */
class Family {
  readonly #run: RunRecord;
  readonly #ancestors: Map<number, ReadonlySet<number>> = new Map();
  readonly #descendants: Map<number, OpRecord[]> = new Map();
  readonly #byKey: Map<number, OpRecord[]> = new Map();
  readonly #flushes: readonly OpRecord[];

  constructor(run: RunRecord) {
    this.#run = run;
    this.#flushes = run.history.filter(
      (op) => op.kind === 'flush' && op.outcome !== 'fail' && op.outcome !== 'none',
    );
    for (const op of run.history) {
      if (!mayHaveTaken(op)) continue;
      const list = this.#byKey.get(op.key);
      if (list === undefined) this.#byKey.set(op.key, [op]);
      else list.push(op);
      for (const id of this.ancestors(op)) {
        const known = this.#descendants.get(id);
        if (known === undefined) this.#descendants.set(id, [op]);
        else known.push(op);
      }
    }
  }

  writes(key: number): readonly OpRecord[] {
    return this.#byKey.get(key) ?? [];
  }

  ancestors(op: OpRecord): ReadonlySet<number> {
    const known = this.#ancestors.get(op.id);
    if (known !== undefined) return known;
    const all = new Set<number>();
    for (const id of op.basis) {
      const parent = this.#run.history[id - 1];
      if (parent === undefined) continue;
      all.add(id);
      for (const older of this.ancestors(parent)) all.add(older);
    }
    this.#ancestors.set(op.id, all);
    return all;
  }

  /** Writes that may have taken effect and descend from this one. */
  descendants(id: number): readonly OpRecord[] {
    return this.#descendants.get(id) ?? [];
  }

  stamp(op: OpRecord): Stamp | undefined {
    return this.#run.witness.stamps.get(op.id);
  }

  /** Whether a plain write, or a flush, may have ended this write by the clock; only what was sent before `order`. */
  mayBeEnded(op: OpRecord, order = Number.POSITIVE_INFINITY): boolean {
    const stamp = this.stamp(op);
    const plain = this.writes(op.key).some((other) => {
      if (!other.plain || other.id === op.id || other.invokeOrder > order) return false;
      const theirs = this.stamp(other);
      // A plain delete, or what was never stored alone, has a stamp that nobody knows.
      return stamp === undefined || theirs === undefined || compareStamps(theirs, stamp) > 0;
    });
    if (plain) return true;
    if (order === Number.POSITIVE_INFINITY && stamp !== undefined)
      return compareStamps(stamp, this.#run.floor) <= 0;
    return this.#flushes.some((flush) => flush.invokeOrder < order && flush.returnOrder > op.invokeOrder);
  }

  /** Whether it must be there, as far as writes sent before `order` go. */
  mustBeThere(op: OpRecord, order = Number.POSITIVE_INFINITY): boolean {
    if (op.outcome !== 'ok' || op.kind === 'delete' || op.kind === 'expire' || !mayHaveTaken(op))
      return false;
    if (this.descendants(op.id).some((other) => other.invokeOrder < order)) return false;
    return !this.mayBeEnded(op, order);
  }
}

/** What contradicts that just these ids are shown of a key. */
function contradictions(
  run: RunRecord,
  family: Family,
  key: number,
  shown: ReadonlySet<number>,
  where: string,
): Finding[] {
  const findings: Finding[] = [];
  const find = (text: string): void => void findings.push({ oracle: 'P5', text });
  for (const op of family.writes(key)) {
    if (op.phase !== 'work') continue;
    if (!shown.has(op.id) && family.mustBeThere(op)) {
      find(
        `${opText(op)} was acknowledged, nobody overwrote it, and it is not ${where}: there is [${[...shown]}]`,
      );
    }
  }
  const lastFlush = run.history.reduce(
    (last, op) => (op.kind === 'flush' && op.outcome === 'ok' ? Math.max(last, op.invokeOrder) : last),
    -1,
  );
  for (const id of shown) {
    const op = run.history[id - 1];
    if (op === undefined) continue;
    const over = family.descendants(id).find(({ outcome }) => outcome === 'ok');
    if (over !== undefined) {
      find(`${opText(op)} is ${where} although ${opText(over)} had seen it and was acknowledged`);
    }
    if (op.outcome === 'ok' && op.returnOrder < lastFlush) {
      find(`${opText(op)} is ${where} although it was acknowledged before a flush that answered ok`);
    }
    const stamp = family.stamp(op);
    const plain = family.writes(key).find((other) => {
      const theirs = other.plain && other.outcome === 'ok' ? family.stamp(other) : undefined;
      return stamp !== undefined && theirs !== undefined && compareStamps(theirs, stamp) > 0;
    });
    if (plain !== undefined) find(`${opText(op)} is ${where} although ${opText(plain)} ended it`);
  }
  return findings;
}

function shownBy(run: RunRecord, row: Row | undefined): Set<number> {
  const versions = liveVersions(row, run.scannedAtMs, run.floor);
  return new Set(versions.map(({ value }) => idOf(value.value, 0)));
}

function judgeDisks(run: RunRecord, family: Family): Finding[] {
  const findings: Finding[] = [];
  for (const state of run.chaosEnded) {
    if (state.counter) continue;
    const held = new Set(versionsOf(versionsOfRow(state.copy)).map(({ value }) => idOf(value.value, 0)));
    for (const op of family.writes(state.key)) {
      if (op.returnedAt > run.chaosEndedAt || held.has(op.id) || !family.mustBeThere(op)) continue;
      findings.push({
        oracle: 'P5',
        text: `${opText(op)} was acknowledged, nobody overwrote it, and it is on no disk when chaos ended`,
      });
    }
  }
  const judge = (states: RunRecord['recovered'], when: string): void => {
    for (const state of states) {
      if (state.counter) continue;
      for (const { node, row, damaged } of state.replicas) {
        if (damaged) continue;
        findings.push(
          ...contradictions(run, family, state.key, shownBy(run, row), `on the disk of ${node} ${when}`),
        );
      }
    }
  };
  if (isMadeEqual(run.plan)) judge(run.recovered, 'after recovery');
  judge(run.afterRepair, 'after a read at R=N');
  return findings;
}

function judgeReads(run: RunRecord, family: Family): Finding[] {
  const { plan } = run;
  if (hasForgetful(plan) && !ABILITIES.vouching) return [];
  if (plan.r + plan.w <= plan.n && !isMadeEqual(plan)) return [];
  return run.history.flatMap((read) => {
    if (read.kind !== 'versions' || read.outcome !== 'ok') return [];
    if (read.phase === 'work' || read.phase === 'probe' || read.phase === 'meet') return [];
    const name = `in what a read of ${keyOf('read', read.key)} by node ${read.node} (#${read.id}, ${read.phase}) was given`;
    const findings = contradictions(run, family, read.key, new Set(read.seenAll), name);
    for (const id of read.seenAll) {
      const op = run.history[id - 1];
      if (op === undefined || op.expireAt === 0 || op.expireAt + doubtMs > run.scannedAtMs) continue;
      if (read.phase === 'restart')
        findings.push({ oracle: 'P4', text: `${opText(op)} has expired and is ${name}` });
    }
    return findings;
  });
}

/** Strict reads with R+W>N meet every write that was acknowledged before they were sent, in the midst of faults. */
function judgeStrictReads(run: RunRecord, family: Family): Finding[] {
  const { plan } = run;
  if (!plan.strict || plan.r + plan.w <= plan.n) return [];
  const findings: Finding[] = [];
  for (const read of run.history) {
    if (read.kind !== 'versions' || read.outcome !== 'ok' || read.phase !== 'work') continue;
    const shown = new Set(read.seenAll);
    for (const op of family.writes(read.key)) {
      if (op.returnOrder > read.invokeOrder || shown.has(op.id)) continue;
      if (!family.mustBeThere(op, read.returnOrder)) continue;
      findings.push({
        oracle: 'P5',
        text: `${opText(op)} was acknowledged, nobody overwrote it, and ${opText(read)} was given [${read.seenAll}]`,
      });
    }
    for (const id of shown) {
      const over = family
        .descendants(id)
        .find((op) => op.outcome === 'ok' && op.returnOrder < read.invokeOrder);
      if (over === undefined) continue;
      findings.push({
        oracle: 'P5',
        text: `${opText(read)} was given the value of #${id}, which ${opText(over)} had seen and overwritten`,
      });
    }
  }
  return findings;
}

/** After every process was killed once more the same is read. */
function judgeStays(run: RunRecord, family: Family): Finding[] {
  const findings: Finding[] = [];
  const before = new Map(run.history.filter((op) => op.phase === 'repair').map((op) => [op.key, op]));
  for (const after of run.history) {
    const earlier = before.get(after.key);
    if (after.phase !== 'restart' || after.outcome !== 'ok' || earlier?.outcome !== 'ok') continue;
    // A write of unknown outcome may arrive, very late, between the two.
    const late = family.writes(after.key).filter(({ outcome }) => outcome === 'unknown');
    const gone = earlier.seenAll.filter((id) => {
      const isExplained =
        run.history[id - 1]?.expireAt !== 0 || late.some((op) => op.plain || family.ancestors(op).has(id));
      return !after.seenAll.includes(id) && !isExplained;
    });
    const come = after.seenAll.filter(
      (id) => !earlier.seenAll.includes(id) && !late.some((op) => op.id === id),
    );
    if (gone.length + come.length === 0) continue;
    findings.push({
      oracle: 'restart',
      text: `${keyOf('read', after.key)} read as [${earlier.seenAll}]; after every process was killed and started again, as [${after.seenAll}]`,
    });
  }
  return findings;
}
