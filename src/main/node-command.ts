/**
 * `dure node …`: takes members in, lets them go, and shows how far that is.
 *
 * A node is asked for the change; once the first epoch of it is chosen it goes on by itself, whoever is stopped, this
 * command included. So the rest is looking on: the same command, given again, looks on again, since a change that was
 * begun already is no error.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { TopologyAnswer, TopologyChangeJson } from '../http/api/topology-json.ts';
import type { TopologyMember } from '../topology/topology.ts';
import { askInTurn, type NodeCall } from './cluster-call.ts';
import { findSeeds, nobodyWords, type Output, passwordOf, type SeedOptions } from './cluster-seeds.ts';
import { EXIT } from './exit-codes.ts';
import { addressWords } from './http-call.ts';
import { type ChangeEnd, changeEnd, changeLine, endWords, membersTable, waitAdvice } from './node-view.ts';
import { ProgressLine } from './progress-line.ts';
import { lookAtTopology, type MoveSum, moveSumOf, type TopologyLook } from './topology-fetch.ts';

export interface NodeCommandOptions extends SeedOptions {
  readonly json: boolean;
  /** Ends once the change is begun. */
  readonly noWait: boolean;
}

/** What is asked of the cluster. */
export type NodeCommand =
  | { readonly kind: 'join'; readonly member: TopologyMember }
  | { readonly kind: 'leave'; readonly id: string }
  | { readonly kind: 'remove'; readonly ids: readonly string[]; readonly force: boolean }
  | { readonly kind: 'replace'; readonly id: string; readonly member: TopologyMember }
  | { readonly kind: 'weight'; readonly id: string; readonly weight: number }
  | { readonly kind: 'cancel' };

export interface Streams {
  readonly out: Output;
  readonly complain: Output;
}

const lookTimeoutMs = 2000;
const lookEveryMs = 400;
/** Nobody answers for so long: the command gives up looking on. */
const silenceMaxMs = 60_000;
/** A member that is waited for so long is worth advice. */
const adviceAfterMs = 3000;

const standard: Streams = { out: process.stdout, complain: process.stderr };

/** Asks for a change and, unless told otherwise, looks on until it has ended. @returns the exit code. */
export async function runNodeChange(
  command: NodeCommand,
  options: NodeCommandOptions,
  streams: Streams = standard,
): Promise<number> {
  const found = await firstLook(options, streams);
  if (found === undefined) return EXIT.failed;
  const { look, password, seeds } = found;
  const call = callOf(command);
  const taken = await askInTurn<TopologyAnswer>(addressesOf(look), call, password);
  if (!('body' in taken)) {
    for (const problem of alikeOnce(taken.problems)) streams.complain.write(`dure: ${problem}\n`);
    return EXIT.failed;
  }
  const { phase, epoch, change } = taken.body;
  // What is so already begins no change, and the last one is another matter.
  const isOld = command.kind !== 'cancel' && phase === 'steady' && change?.id === look.answers[0]?.change?.id;
  if (isOld && !options.json) {
    streams.out.write(`It is so already; nothing was changed. Epoch ${epoch}.\n`);
    return 0;
  }
  if (options.noWait || isOld) {
    tellOnce(taken.body, options.json, streams.out);
    return 0;
  }
  const end = await watch({ seeds, password, change, json: options.json }, streams);
  return end === 'done' || (end === 'cancelled' && command.kind === 'cancel') ? 0 : EXIT.failed;
}

/** Nodes that refuse for one reason say so in the same words, but for who they are and what the time is. */
function alikeOnce(problems: readonly string[]): string[] {
  const seen = new Set<string>();
  return problems.filter((problem) => {
    const words = problem.replace(/^\S+ \(\S+\): /, '').replace(/begun \S+ ago/, '');
    return !seen.has(words) && seen.add(words);
  });
}

function callOf(command: NodeCommand): NodeCall {
  const path = (id: string, what: string): string => `/v1/nodes/${encodeURIComponent(id)}/${what}`;
  switch (command.kind) {
    case 'join':
      return { path: '/v1/nodes', method: 'POST', body: command.member };
    case 'leave':
      return { path: path(command.id, 'leave'), method: 'POST' };
    case 'remove':
      return command.force
        ? { path: '/v1/topology/force', method: 'POST', body: { gone: command.ids } }
        : { path: path(command.ids[0]!, 'remove'), method: 'POST', body: { ids: command.ids.slice(1) } };
    case 'replace':
      return { path: path(command.id, 'replace'), method: 'POST', body: { member: command.member } };
    case 'weight':
      return { path: path(command.id, 'weight'), method: 'PUT', body: { weight: command.weight } };
    case 'cancel':
      return { path: '/v1/topology/cancel', method: 'POST' };
  }
}

/** Shows the members. @returns the exit code. */
export async function runNodeList(options: NodeCommandOptions, streams: Streams = standard): Promise<number> {
  const found = await firstLook(options, streams);
  if (found === undefined) return EXIT.failed;
  const { answers, problems } = found.look;
  const latest = answers[0]!;
  if (options.json) {
    streams.out.write(
      `${JSON.stringify({ topology: latest, moves: moveSumOf(answers), problems }, undefined, 2)}\n`,
    );
    return 0;
  }
  streams.out.write(membersTable(latest));
  const sum = moveSumOf(answers);
  if (latest.phase !== 'steady') streams.out.write(`\n${changeLine(latest, sum)}\n`);
  const advice = waitAdvice(sum, latest);
  if (advice !== '') streams.out.write(`${advice}\n`);
  return 0;
}

/** Looks on at the change under way, until it has ended. @returns the exit code. */
export async function runNodeWatch(
  options: NodeCommandOptions,
  streams: Streams = standard,
): Promise<number> {
  const found = await firstLook(options, streams);
  if (found === undefined) return EXIT.failed;
  const latest = found.look.answers[0]!;
  if (latest.phase === 'steady') {
    if (options.json) tellOnce(latest, true, streams.out);
    else streams.out.write(`No change of the members is under way. Epoch ${latest.epoch}.\n`);
    return 0;
  }
  const { seeds, password } = found;
  const end = await watch({ seeds, password, change: latest.change, json: options.json }, streams);
  return end === 'done' ? 0 : EXIT.failed;
}

interface FirstLook {
  readonly seeds: readonly string[];
  readonly password: string | undefined;
  readonly look: TopologyLook;
}

async function firstLook(options: SeedOptions, { complain }: Streams): Promise<FirstLook | undefined> {
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return undefined;
  const password = passwordOf(options);
  const look = await lookAtTopology(seeds, password, lookTimeoutMs);
  if (look.answers.length > 0) return { seeds, password, look };
  complain.write(nobodyWords(look, 'node list'));
  return undefined;
}

/** The nodes that answered, where they are asked. */
function addressesOf({ answers }: TopologyLook): { id: string; address: string }[] {
  const latest = answers[0]!;
  return answers.flatMap(({ node }) => {
    const member = latest.members.find(({ id }) => id === node);
    if (member?.host === undefined || member.httpPort === undefined) return [];
    return [{ id: node, address: addressWords(member.host, member.httpPort) }];
  });
}

function tellOnce(answer: TopologyAnswer, json: boolean, out: Output): void {
  if (json) out.write(`${JSON.stringify(answer)}\n`);
  else out.write(`${changeLine(answer, moveSumOf([answer]))}\n`);
}

interface Watched {
  readonly seeds: readonly string[];
  readonly password: string | undefined;
  /** The change that is looked at; another one that follows is not waited for. */
  readonly change: TopologyChangeJson | undefined;
  readonly json: boolean;
}

/** Looks on until the change has ended. @returns how; `silent` when nobody answers any more, and that was said. */
async function watch(
  { seeds, password, change, json }: Watched,
  { out, complain }: Streams,
): Promise<ChangeEnd | 'silent'> {
  const screen = new ChangeScreen(out, json);
  const beganAt = performance.now();
  let heardAt = beganAt;
  let waitingSince = 0;
  let known: readonly string[] = seeds;
  for (;;) {
    const look = await lookAtTopology(known, password, lookTimeoutMs);
    const now = performance.now();
    const latest = look.answers[0];
    if (latest === undefined) {
      if (now - heardAt > silenceMaxMs) {
        screen.clear();
        complain.write(
          'dure: no node answers any more; the change goes on when they do: "dure node watch"\n',
        );
        return 'silent';
      }
    } else {
      heardAt = now;
      known = [...new Set([...seeds, ...addressesOf(look).map(({ address }) => address)])];
      const all = moveSumOf(look.answers);
      if (latest.phase === 'steady' || (change !== undefined && latest.change?.id !== change.id)) {
        screen.end(change, latest, now - beganAt);
        return changeEnd(change, latest);
      }
      waitingSince = all.waitsFor.length === 0 ? 0 : waitingSince || now;
      const isWaiting = waitingSince > 0 && now - waitingSince > adviceAfterMs;
      // The news takes a moment to get round: nobody waits for that.
      const sum = isWaiting ? all : { ...all, waitsFor: [] };
      screen.show(latest, sum, waitAdvice(sum, latest));
    }
    await delay(lookEveryMs);
  }
}

/** A bar that is drawn over on a terminal, a line now and then elsewhere, JSON for programs. */
class ChangeScreen {
  readonly #out: Output;
  readonly #json: boolean;
  readonly #line: ProgressLine;
  #advised = '';
  #phase = '';
  #bytes = 0;

  constructor(out: Output, json: boolean) {
    this.#out = out;
    this.#json = json;
    this.#line = new ProgressLine(out);
  }

  show(answer: TopologyAnswer, sum: MoveSum, advice: string): void {
    this.#bytes = Math.max(this.#bytes, sum.bytes);
    if (this.#json) {
      const { epoch, phase, change } = answer;
      this.#out.write(`${JSON.stringify({ epoch, phase, change, moves: sum, done: false })}\n`);
      return;
    }
    if (advice !== this.#advised) {
      this.#advised = advice;
      this.#line.clear();
      if (advice !== '') this.#out.write(`${advice}\n`);
    }
    const isNews = answer.phase !== this.#phase;
    this.#phase = answer.phase;
    this.#line.show(changeLine(answer, sum), isNews);
  }

  clear(): void {
    this.#line.clear();
  }

  end(watched: TopologyChangeJson | undefined, answer: TopologyAnswer, elapsedMs: number): void {
    this.clear();
    const end = changeEnd(watched, answer);
    if (this.#json) this.#out.write(`${JSON.stringify({ ...answer, done: true, end })}\n`);
    else this.#out.write(`${endWords(watched, answer, this.#bytes, elapsedMs)}\n`);
  }
}
