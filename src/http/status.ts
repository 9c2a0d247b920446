/**
 * `GET /status`: the status of this node (`src/node/status.ts`) as JSON, with what only the process knows.
 * The schema is the contract: docs/operations.md has an example, and `dure status` is made from it.
 */

import type { NodeStatus } from '../node/status.ts';
import { FLAG, listSchema, NUMBER, objectSchema, TEXT, WHOLE, wordSchema } from './schema.ts';

/** What `GET /status` answers. */
export interface StatusAnswer extends NodeStatus {
  /** Dure's own version. */
  readonly version: string;
  /** Why the process does not serve now (starting, stopping); empty when it does. */
  readonly fault: string;
}

export const STATUS_SCHEMA: object = objectSchema(
  {
    node: TEXT,
    version: TEXT,
    fault: TEXT,
    cluster: TEXT,
    epoch: WHOLE,
    replicas: WHOLE,
    uptimeMs: NUMBER,
    verdict: wordSchema('well', 'degraded', 'critical'),
    reasons: listSchema(
      objectSchema({
        code: TEXT,
        severity: wordSchema('degraded', 'critical'),
        subject: TEXT,
        what: TEXT,
        meaning: TEXT,
        action: TEXT,
      }),
    ),
    settled: FLAG,
    members: listSchema(
      objectSchema({
        id: TEXT,
        host: TEXT,
        respPort: WHOLE,
        httpPort: WHOLE,
        zone: TEXT,
        state: wordSchema('owning', 'joining', 'leaving', 'gone'),
        status: wordSchema('alive', 'suspect', 'down', 'left'),
        reachable: FLAG,
        phi: NUMBER,
        incarnation: WHOLE,
        silenceMs: NUMBER,
        clockOffsetMs: { type: 'number', nullable: true },
        replyP95Ms: NUMBER,
        seenThrough: TEXT,
        lagMs: NUMBER,
        rebuildingMs: NUMBER,
      }),
    ),
    partitions: objectSchema({
      count: WHOLE,
      withoutQuorum: WHOLE,
      onStandIns: WHOLE,
      onRebuilding: WHOLE,
      strays: WHOLE,
    }),
    storage: objectSchema({
      engine: TEXT,
      durable: FLAG,
      state: wordSchema('ok', 'full', 'failed'),
      failure: TEXT,
      bytesMemory: WHOLE,
      bytesDisk: WHOLE,
      rowsDamaged: WHOLE,
    }),
  },
  {
    change: objectSchema({
      kind: wordSchema('join', 'leave', 'remove', 'replace', 'weight'),
      nodes: listSchema(TEXT),
      gone: listSchema(TEXT),
      cancelled: FLAG,
      phase: wordSchema('enrol', 'copy', 'switch'),
      sinceMs: NUMBER,
      busy: listSchema(TEXT),
      waitsFor: listSchema(TEXT),
      partitions: WHOLE,
      partitionsDone: WHOLE,
      bytes: NUMBER,
      bytesLeft: NUMBER,
      bytesPerSecond: NUMBER,
    }),
    hints: objectSchema({
      count: WHOLE,
      bytes: WHOLE,
      unreadable: WHOLE,
      loading: FLAG,
      bytesMax: WHOLE,
      oldestAgeMs: NUMBER,
      delivered: WHOLE,
      targets: listSchema(
        objectSchema({
          target: TEXT,
          count: WHOLE,
          bytes: WHOLE,
          oldestAgeMs: NUMBER,
          state: wordSchema('waiting', 'handing-over'),
          delivered: WHOLE,
          rowsPerSecond: NUMBER,
        }),
      ),
    }),
    repair: objectSchema({
      running: FLAG,
      comparisons: WHOLE,
      equal: WHOLE,
      differing: WHOLE,
      unknown: WHOLE,
      roundAgeMs: { type: 'number', nullable: true },
      progress: NUMBER,
      rowsSent: WHOLE,
      rowsTaken: WHOLE,
      timeShare: NUMBER,
    }),
    horizon: objectSchema({
      ageMs: NUMBER,
      alarmMs: NUMBER,
      held: WHOLE,
      heldBy: TEXT,
      reason: TEXT,
      raised: WHOLE,
      abandoned: WHOLE,
    }),
    policies: objectSchema({ atRunTime: WHOLE, changedAt: WHOLE, fingerprint: TEXT, inForce: TEXT }),
    past: objectSchema({
      whole: FLAG,
      state: wordSchema('sure', 'asking', 'new', 'lost'),
      generation: WHOLE,
      unheard: WHOLE,
      partitions: WHOLE,
      vouched: WHOLE,
      vouchedLoosely: WHOLE,
      progress: NUMBER,
      rowsTaken: WHOLE,
      sinceMs: NUMBER,
      reason: TEXT,
    }),
    siblings: objectSchema({
      reads: WHOLE,
      writes: WHOLE,
      refused: WHOLE,
      refusedAgoMs: { type: 'number', nullable: true },
      refusedPrefix: TEXT,
      refusedWhy: TEXT,
      valuesMax: WHOLE,
      valuesMost: WHOLE,
      valuesMostPrefix: TEXT,
      actorsMost: WHOLE,
      actorsMostPrefix: TEXT,
      rowBytesMost: WHOLE,
      readsByValues: listSchema(WHOLE),
      readsValuesSum: WHOLE,
    }),
  },
);
