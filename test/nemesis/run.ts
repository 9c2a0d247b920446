/**
 * A run of the nemesis, in four acts: the cluster starts and the load begins; faults are committed; all is
 * healed and the cluster has to make progress within a bound; at rest, every key is read through every
 * node, and the history is judged.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { type Client, openClients } from './clients.ts';
import { NemesisCluster } from './cluster.ts';
import { type Figures, figuresOf } from './figures.ts';
import { readAll, until } from './final-reads.ts';
import type { Op } from './history.ts';
import { closeHttp, getJson } from './http.ts';
import { type Judgement, judge } from './judge.ts';
import type { NemesisOptions } from './options.ts';
import { drawPlan, type FaultPlan } from './plan.ts';
import { Villain } from './villain.ts';
import { Watch } from './watch.ts';
import { Workload } from './workload.ts';

export interface NemesisResult {
  readonly options: NemesisOptions;
  readonly plan: FaultPlan;
  readonly figures: Figures;
  readonly judgement: Judgement;
  /** After healing: until every node saw every other, and until every client had an answer; milliseconds. */
  readonly linkedMs: number | undefined;
  readonly progressMs: number | undefined;
  /** Until no hints were left and repair found all equal; undefined when nodes do not tell. */
  readonly convergedMs: number | undefined;
  readonly healedAtMs: number;
  /** Processes that ended by themselves. */
  readonly crashes: readonly string[];
  /** The longest that the load generator itself was late, milliseconds. */
  readonly ownLagMs: number;
  /** What was broken, in sentences; none: every promise was kept. */
  readonly faults: readonly string[];
  /** What could not be done here. */
  readonly skipped: readonly string[];
}

/** Of a request, milliseconds. */
export const DEADLINE_MS = 1000;
/** From the end of chaos to the end of the load. */
const healedMs = 12_000;
/** After healing, every client must have had an answer by then. */
const progressMaxMs = 10_000;
/** After the load, hints must be gone and replicas equal by then. */
const convergeMaxMs = 30_000;
const chaosMinMs = 15_000;

export interface RunContext {
  readonly directory: string;
  /** Whether small disks can be mounted. */
  readonly canMount: boolean;
  readonly say: (text: string) => void;
  /** Told of the cluster as soon as there is one, to end it on a signal. */
  readonly onCluster: (cluster: NemesisCluster) => void;
}

export async function runNemesis(options: NemesisOptions, context: RunContext): Promise<NemesisResult> {
  const { say } = context;
  const wantsDisk = options.faults.includes('disk');
  const skipped: string[] = [];
  if (wantsDisk && !context.canMount) {
    skipped.push('SKIPPED: full disks, because no small file system can be mounted here (try as root)');
    say(skipped[0]!);
  }
  const smallDisks = wantsDisk && context.canMount ? [options.seed % options.nodes] : [];
  const chaosMs = Math.max(chaosMinMs, options.minutes * 60_000 - healedMs);
  const plan = drawPlan({
    seed: options.seed,
    nodes: options.nodes,
    classes: options.faults,
    smallDisks,
    chaosMs,
  });
  say(`${options.nodes} nodes start; seed ${options.seed}, ${plan.faults.length} faults`);
  const { nodes, strictPolicy } = options;
  const cluster = await NemesisCluster.start({
    nodes,
    directory: context.directory,
    smallDisks,
    links: true,
    strictPolicy,
    onCreated: context.onCluster,
  });
  const clients = openClients(cluster.nodes.map(({ respPort }) => respPort));
  try {
    await until(() => clients.every((client) => client.isUp()), 10_000);
    const workload = new Workload({
      seed: options.seed,
      clients,
      rate: options.rate,
      deadlineMs: DEADLINE_MS,
    });
    const watch = new Watch(cluster.nodes, () => workload.now());
    const villain = new Villain(
      cluster,
      watch,
      () => workload.now(),
      (text) => say(`${seconds(workload.now())}  ${text}`),
    );
    watch.begin();
    workload.begin();
    await villain.carryOut(plan.faults, workload.now());
    await delay(Math.max(0, plan.healAtMs - workload.now()));
    const healedAt = workload.now();
    say(`${seconds(healedAt)}  all is healed`);
    await cluster.healAll();
    const linkedMs = await cluster.linked(progressMaxMs).catch(() => undefined);
    await delay(Math.max(0, healedAt + healedMs - workload.now()));
    const durationMs = workload.now();
    await workload.end();
    const convergence = await converge(cluster, () => workload.now() - healedAt);
    say(`${seconds(workload.now())}  every key is read through every node`);
    const final = await readAll(cluster, workload);
    await villain.settled();
    await watch.end();
    const judgement = judge(workload.history, final);
    const figures = figuresOf(workload.history, villain.records, durationMs);
    const progressMs = progressAfter(workload.history, clients, healedAt);
    const { crashes } = cluster;
    const faults = faultsOf(judgement, { linkedMs, progressMs, crashes, left: convergence.left });
    return {
      options,
      plan,
      figures,
      judgement,
      linkedMs,
      progressMs,
      convergedMs: convergence.ms,
      healedAtMs: healedAt,
      crashes,
      ownLagMs: workload.ownLagMs,
      faults,
      skipped,
    };
  } finally {
    for (const client of clients) client.close();
    await cluster.close();
    closeHttp();
  }
}

/** How long after healing every client had an answer that was ok; undefined when one had none in time. */
function progressAfter(
  history: readonly Op[],
  clients: readonly Client[],
  healedAt: number,
): number | undefined {
  let latest = 0;
  for (const client of clients) {
    const first = history.find(
      (op) => op.client === client.name && op.at >= healedAt && op.outcome === 'ok' && op.kind === 'write',
    );
    if (first === undefined) return undefined;
    latest = Math.max(latest, first.end - healedAt);
  }
  return latest <= progressMaxMs ? latest : undefined;
}

interface Healing {
  readonly linkedMs: number | undefined;
  readonly progressMs: number | undefined;
  readonly left: string;
  readonly crashes: readonly string[];
}

function faultsOf(judgement: Judgement, healing: Healing): string[] {
  const faults = judgement.broken.map(({ promise, count, examples }) => {
    return `${promise} (${count}):\n${examples.map((each) => `  ${each}`).join('\n')}`;
  });
  const bound = `within ${progressMaxMs / 1000} s after healing`;
  if (healing.linkedMs === undefined) faults.push(`the nodes did not see each other ${bound}`);
  if (healing.progressMs === undefined) faults.push(`not every client could write ${bound}`);
  if (healing.left !== '') {
    faults.push(`the nodes had not settled ${convergeMaxMs / 1000} s after the load: ${healing.left}`);
  }
  return [...faults, ...healing.crashes];
}

/** What `/status` says that matters here (src/node/status.ts); parts a node does not have are left out. */
interface Status {
  readonly settled?: boolean;
  readonly hints?: { readonly count: number };
  readonly repair?: { readonly differing: number; readonly roundAgeMs: number | null };
}

/** How replicas stand after the load. */
interface Convergence {
  /** Since healing, until all nodes said that nothing was outstanding; undefined when they do not tell. */
  readonly ms: number | undefined;
  /** What was left at the bound, in words; empty when nothing was. */
  readonly left: string;
}

/**
 * Waits until every node says that nothing is outstanding: no hints, and all replicas equal when they were last
 * compared. A round of comparisons may take longer than this waits; the reads at the end look at every key.
 * @param since time since healing, milliseconds
 */
async function converge(cluster: NemesisCluster, since: () => number): Promise<Convergence> {
  const from = since();
  for (;;) {
    const answers = await Promise.all(
      cluster.nodes.map(({ httpPort }) => getJson(httpPort, '/status', 1000)),
    );
    if (answers.every((answer) => answer?.status === 404)) return { ms: undefined, left: '' };
    const states = answers.map((answer) => (answer?.status === 200 ? (answer.body as Status) : undefined));
    const tells = states.some((state) => state?.hints !== undefined || state?.repair !== undefined);
    if (!tells && states.every((state) => state !== undefined)) return { ms: undefined, left: '' };
    const quietMs = since() - from;
    const isQuiet = states.every((state) => state?.settled === true && (state.hints?.count ?? 0) === 0);
    if (isQuiet) return { ms: since(), left: '' };
    if (quietMs > convergeMaxMs) return { ms: undefined, left: leftText(states) };
    await delay(250);
  }
}

function leftText(states: readonly (Status | undefined)[]): string {
  return states
    .map((state, i) => {
      if (state === undefined) return `n${i + 1} does not answer`;
      const round = state.repair === undefined ? '' : `, last round ${state.repair.roundAgeMs} ms ago`;
      const differing = state.repair?.differing ?? 0;
      return `n${i + 1}: ${state.hints?.count ?? 0} hints, ${differing} replicas differ${round}, settled ${state.settled}`;
    })
    .join('; ');
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`;
}
