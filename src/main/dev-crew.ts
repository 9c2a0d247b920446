/**
 * The processes of `dure dev`: one a node, started, watched and ended.
 *
 * The picture: a foreman and his crew. He starts each, passes on what each says, tells when one is gone and how to
 * bring it back, and lets those go who have left the cluster. He starts nobody again by himself, but for a newcomer
 * that falls over before it is taken in: it has nothing to look at yet.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ClusterNode, writeClusterFile } from './dev-files.ts';
import { nextSeat, nodeOf, type Seat, writeSeat } from './dev-seats.ts';
import { EXIT } from './exit-codes.ts';

const killAfterMs = 10_000;
/** A newcomer that ended is started again so often, each time after a pause, milliseconds. */
const startsMax = 5;
const startAgainMs = 1000;
/** Beside this file: a source here, JavaScript in the package. */
const script = fileURLToPath(import.meta.url).replace(/dev-crew(\.[jt]s)$/, 'cli$1');

export interface CrewOptions {
  readonly dataDir: string;
  /** RESP port of node `n1`. */
  readonly port: number;
  /** Settings of every node. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** For the processes, without what would make all nodes the same one. */
  readonly environment: NodeJS.ProcessEnv;
  /** Lines are for people: each says which node it is from. */
  readonly isPretty: boolean;
}

/** A node of the crew. */
export interface Hand {
  readonly seat: Seat;
  readonly node: Omit<ClusterNode, 'pid'>;
  readonly pid: number;
  /** It takes requests. */
  readonly isReady: boolean;
  readonly isGone: boolean;
  /** It is no member any more. */
  readonly departed: 'left' | 'removed' | undefined;
  /** Ready, or gone before it was. */
  readonly settled: Promise<void>;
  readonly ended: Promise<void>;
}

type OwnHand = { -readonly [K in keyof Hand]: Hand[K] } & {
  child: ChildProcess;
  /** To be started again if it falls over. */
  isNew: boolean;
  starts: number;
};

export class Crew {
  readonly #options: CrewOptions;
  /** In the order in which they came. */
  readonly #hands: OwnHand[] = [];
  readonly #terminal: boolean = process.stdout.isTTY === true;
  #isStopping = false;
  readonly #emptied: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(options: CrewOptions) {
    this.#options = options;
  }

  /** Everybody who was started, but those who have left the cluster. */
  get hands(): readonly Hand[] {
    return this.#hands.filter(({ departed }) => departed === undefined);
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Settles when no process is left. */
  get emptied(): Promise<void> {
    return this.#emptied.promise;
  }

  /** Starts the nodes that belong to the cluster. */
  start(seats: readonly Seat[]): void {
    for (const seat of seats) this.#start(seat, seats, false);
    this.#writeFile();
  }

  /** Starts one more, which joins. @throws Error when there is no name left */
  hire(): Hand {
    const { dataDir, port } = this.#options;
    const seats = this.#hands.map(({ seat }) => seat);
    const seat = nextSeat(dataDir, seats, port);
    if (seat === undefined) throw new Error('there is no name left for one more node');
    const hand = this.#start(seat, [...this.hands.map((each) => each.seat), seat], true);
    this.#writeFile();
    return hand;
  }

  /** A newcomer is a member like the others: should it end, that is told, and it is not started again. */
  settledIn({ seat }: Hand): void {
    const hand = this.#hands.find((each) => each.seat === seat);
    if (hand !== undefined) hand.isNew = false;
  }

  /** Ends all processes: asks them to, and kills those that do not within ten seconds. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    const alive = this.#hands.filter(({ isGone }) => !isGone);
    for (const { child } of alive) child.kill('SIGTERM');
    const timer = setTimeout(() => {
      for (const { node, child, isGone } of this.#hands) {
        if (isGone) continue;
        process.stderr.write(`dure: ${node.id} did not stop within ${killAfterMs / 1000} s and is killed\n`);
        child.kill('SIGKILL');
      }
    }, killAfterMs);
    await Promise.all(this.#hands.map(({ ended }) => ended));
    clearTimeout(timer);
  }

  #start(seat: Seat, seats: readonly Seat[], isNew: boolean): Hand {
    const { dataDir, settings } = this.#options;
    const file = writeSeat(dataDir, seat, seats, settings);
    const argv = [process.execPath, script, 'start', '--config', file];
    const settled = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const hand: OwnHand = {
      seat,
      node: nodeOf(seat, file, argv),
      child: this.#spawn(seat, argv),
      pid: 0,
      isReady: false,
      isGone: false,
      departed: undefined,
      settled: settled.promise,
      ended: ended.promise,
      isNew,
      starts: 1,
    };
    this.#hands.push(hand);
    this.#watch(hand, settled.resolve, ended.resolve);
    return hand;
  }

  #spawn({ member }: Seat, argv: readonly string[]): ChildProcess {
    const environment = { ...this.#options.environment };
    if (this.#options.isPretty) environment.DURE_LOG_FORMAT ??= 'pretty';
    if (this.#terminal) environment.FORCE_COLOR ??= '1';
    const child = spawn(argv[0]!, argv.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: environment,
    });
    this.#pass(member.id, child);
    return child;
  }

  #watch(hand: OwnHand, settle: () => void, end: () => void): void {
    const { child } = hand;
    hand.pid = child.pid ?? 0;
    child.on('message', (message: { readonly ready?: true; readonly departed?: 'left' | 'removed' }) => {
      if (message.departed !== undefined) hand.departed = message.departed;
      if (message.ready !== true) return;
      hand.isReady = true;
      settle();
    });
    const gone = (code: number | null, signal: string | null): void => {
      if (code === EXIT.notMember) hand.departed ??= 'removed';
      if (
        hand.isNew &&
        !this.#isStopping &&
        code !== 0 &&
        hand.departed === undefined &&
        hand.starts < startsMax
      ) {
        this.#startAgain(hand, settle, end, code, signal);
        return;
      }
      hand.isGone = true;
      settle();
      end();
      if (!this.#isStopping) this.#tellLoss(hand, code, signal);
      if (this.#hands.every(({ isGone }) => isGone)) this.#emptied.resolve();
    };
    child.once('exit', gone);
    child.once('error', () => gone(null, null));
  }

  #startAgain(
    hand: OwnHand,
    settle: () => void,
    end: () => void,
    code: number | null,
    signal: string | null,
  ): void {
    const { node } = hand;
    hand.starts++;
    hand.isReady = false;
    process.stderr.write(`dure: ${node.id}, which joins, ${endWords(code, signal)}: it is started again\n`);
    setTimeout(() => {
      if (this.#isStopping) {
        hand.isGone = true;
        settle();
        end();
        return;
      }
      hand.child = this.#spawn(hand.seat, node.argv);
      this.#watch(hand, settle, end);
      this.#writeFile();
    }, startAgainMs);
  }

  /** Passes on what a node writes, line by line, so that lines of two nodes never mix. */
  #pass(id: string, child: ChildProcess): void {
    const prefix = this.#options.isPretty ? `${id} | ` : '';
    for (const [from, to] of [
      [child.stdout!, process.stdout],
      [child.stderr!, process.stderr],
    ] as const) {
      createInterface({ input: from }).on('line', (line) => to.write(`${prefix}${line}\n`));
    }
  }

  /** Tells that a process ended: how to bring it back; or, when it has left the cluster, that it is done. */
  #tellLoss(hand: OwnHand, code: number | null, signal: string | null): void {
    const { node, pid, isReady, departed } = hand;
    const others = this.hands.filter(({ isGone }) => !isGone).length;
    if (departed !== undefined) {
      const directory = join(this.#options.dataDir, node.id);
      // What it held was given away before it left; of one that was removed, that cannot be said.
      if (departed === 'left') rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
      this.#writeFile();
      const kept = departed === 'left' ? 'its data directory was deleted' : `its data stay in ${directory}`;
      process.stdout.write(`${node.id} ${departed === 'left' ? 'has left' : 'was removed'}: ${kept}.\n`);
      return;
    }
    process.stderr.write(
      `dure: ${node.id} (process ${pid}) ${endWords(code, signal)}${isReady ? '' : ' before it was ready'}. ` +
        `${others} of ${this.hands.length} nodes go on. To start it again:\n  ${commandOf(node.argv)}\n`,
    );
  }

  #writeFile(): void {
    writeClusterFile(this.#options.dataDir, {
      nodes: this.hands.map(({ node, pid }) => {
        const { id, ...rest } = node;
        return { id, pid, ...rest };
      }),
    });
  }
}

function endWords(code: number | null, signal: string | null): string {
  return signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
}

/** A command line that can be pasted into a shell. */
export function commandOf(argv: readonly string[]): string {
  return argv
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
