/** Answers of `GET /status` made by hand: a cluster that is well, and what a test does to it. */

import type { StatusAnswer } from '../../src/http/status.ts';
import type { ClusterLook, NodeLook } from '../../src/main/status-fetch.ts';
import type { ChangeStatus, HintTargetStatus, MemberStatus } from '../../src/node/status.ts';
import { isSettled, reasonsOf, verdictOf } from '../../src/node/verdict.ts';

const minuteMs = 60_000;

/** Writable through and through. */
export type Draft<T> = T extends readonly (infer Item)[]
  ? Draft<Item>[]
  : T extends object
    ? { -readonly [Name in keyof T]: Draft<T[Name]> }
    : T;

export type AnswerDraft = Draft<Required<Omit<StatusAnswer, 'change'>>> & { change?: Draft<ChangeStatus> };

/** A cluster of which each node answers, and all is well. */
export class Statuses {
  readonly answers: AnswerDraft[];
  /** Nodes that do not answer, and why. */
  readonly silent: Map<string, string> = new Map();

  constructor(count = 3) {
    const ids = Array.from({ length: count }, (_, i) => `n${i + 1}`);
    this.answers = ids.map((id) => answerOf(id, ids));
  }

  of(id: string): AnswerDraft {
    return this.answers.find(({ node }) => node === id)!;
  }

  /** How `by` sees `id`. */
  view(by: string, id: string): Draft<MemberStatus> {
    return this.of(by).members.find((member) => member.id === id)!;
  }

  /** Changes how everybody else sees `id`. */
  eachView(id: string, change: Partial<MemberStatus>): void {
    for (const { node } of this.answers) if (node !== id) Object.assign(this.view(node, id), change);
  }

  /** `id` died: the others noticed. */
  down(id: string, silenceMs: number): void {
    this.silent.set(id, 'nothing listens there');
    this.eachView(id, { status: 'down', reachable: false, phi: 1234.5, silenceMs, clockOffsetMs: null });
  }

  hint(by: string, target: string, change: Partial<HintTargetStatus>): void {
    const { hints } = this.of(by);
    const of: Draft<HintTargetStatus> = {
      target,
      count: 0,
      bytes: 0,
      oldestAgeMs: 0,
      state: 'waiting',
      delivered: 0,
      rowsPerSecond: 0,
      ...change,
    };
    hints.targets.push(of);
    hints.count += of.count;
    hints.bytes += of.bytes;
    hints.oldestAgeMs = Math.max(hints.oldestAgeMs, of.oldestAgeMs);
    this.view(by, target).lagMs = of.oldestAgeMs;
  }

  /** Judges anew, as a node does, and gives what `dure status` would have fetched. */
  look(clockDoubted: ReadonlySet<string> = new Set()): ClusterLook {
    const nodes = this.answers.map((draft, i): NodeLook => {
      const answer = draft as StatusAnswer;
      const reasons = reasonsOf(answer, { clockDoubted: clockDoubted.has(answer.node) });
      const judged = { ...answer, reasons, verdict: verdictOf(reasons), settled: isSettled(answer) };
      const problem = this.silent.get(answer.node);
      return {
        id: answer.node,
        address: `127.0.0.1:${8371 + i}`,
        answer: problem === undefined ? judged : undefined,
        problem: problem ?? '',
      };
    });
    return { nodes, problems: [] };
  }
}

function answerOf(id: string, ids: readonly string[]): AnswerDraft {
  return {
    node: id,
    version: '0.1.0',
    fault: '',
    cluster: 'shop',
    epoch: 1,
    replicas: 3,
    uptimeMs: 192 * minuteMs,
    verdict: 'well',
    reasons: [],
    settled: true,
    members: ids.map((other, i) => ({
      id: other,
      host: '127.0.0.1',
      respPort: 6371 + i,
      httpPort: 8371 + i,
      zone: 'abc'[i % 3]!,
      state: 'owning',
      status: 'alive',
      reachable: true,
      phi: other === id ? 0 : 0.4,
      incarnation: 65_536,
      silenceMs: other === id ? 0 : 80,
      clockOffsetMs: 0,
      replyP95Ms: other === id ? 0 : 0.6,
      seenThrough: '',
      lagMs: 0,
      rebuildingMs: 0,
    })),
    policies: { atRunTime: 0, changedAt: 0, fingerprint: '0123456789abcdef', inForce: 'fedcba9876543210' },
    partitions: { count: 1024, withoutQuorum: 0, onStandIns: 0, onRebuilding: 0, strays: 0 },
    hints: {
      count: 0,
      bytes: 0,
      unreadable: 0,
      loading: false,
      bytesMax: 256 * 1024 * 1024,
      oldestAgeMs: 0,
      delivered: 0,
      targets: [],
    },
    repair: {
      running: false,
      comparisons: 2048,
      equal: 2048,
      differing: 0,
      unknown: 0,
      roundAgeMs: 5 * minuteMs,
      progress: 0,
      rowsSent: 0,
      rowsTaken: 0,
      timeShare: 0.004,
    },
    horizon: {
      ageMs: 3 * minuteMs,
      alarmMs: 180 * minuteMs,
      held: 0,
      heldBy: '',
      reason: '',
      raised: 341,
      abandoned: 0,
    },
    past: {
      whole: true,
      unheard: 0,
      state: 'sure',
      generation: 0,
      partitions: 1024,
      vouched: 1024,
      vouchedLoosely: 0,
      progress: 1,
      rowsTaken: 0,
      sinceMs: 0,
      reason: '',
    },
    siblings: {
      reads: 12,
      writes: 40,
      refused: 0,
      refusedAgoMs: null,
      refusedPrefix: '',
      refusedWhy: '',
      valuesMax: 32,
      valuesMost: 3,
      valuesMostPrefix: 'cart:',
      actorsMost: 3,
      actorsMostPrefix: 'cart:',
      rowBytesMost: 700,
      readsByValues: [28, 8, 4, 0, 0, 0, 0, 0],
      readsValuesSum: 57,
    },
    storage: {
      engine: 'classic-level',
      durable: true,
      state: 'ok',
      failure: '',
      bytesMemory: 64 * 1024 * 1024,
      bytesDisk: 1024 ** 3,
      rowsDamaged: 0,
    },
  };
}
