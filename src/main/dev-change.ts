/**
 * How `dure dev` makes its cluster larger or smaller: one node after the other joins, or leaves, and the terminal
 * says how far it is. The cluster serves all the while.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { TopologyAnswer } from '../http/api/topology-json.ts';
import { askNode } from './cluster-call.ts';
import type { Output } from './cluster-seeds.ts';
import type { Crew, Hand } from './dev-crew.ts';
import { addressWords } from './http-call.ts';
import { changeLine, endWords, membersTable, waitAdvice } from './node-view.ts';
import { lookAtTopology, moveSumOf, type TopologyLook } from './topology-fetch.ts';

const lookEveryMs = 250;
const askMs = 2000;
/** A line at most this often, milliseconds. */
const tellEveryMs = 2000;
/** After so long it is said what is waited for, milliseconds. */
const slowMs = 5000;
/** A member that left ends by itself; how long that is waited for, milliseconds. */
const endMs = 15_000;

export interface ResizeOptions {
  readonly crew: Pick<Crew, 'hands' | 'isStopping' | 'hire' | 'settledIn'>;
  readonly password: string | undefined;
  readonly out: Output;
}

type End = 'done' | 'given up';

export class Resize {
  readonly #options: ResizeOptions;
  #toldAt = Number.NEGATIVE_INFINITY;
  #told = '';

  constructor(options: ResizeOptions) {
    this.#options = options;
  }

  /** Brings the cluster to this many nodes, unless the crew is stopped meanwhile. @returns whether it came to that */
  async to(count: number): Promise<boolean> {
    const { crew, out } = this.#options;
    if (crew.hands.length === count) return true;
    for (let left = Math.abs(count - crew.hands.length); left > 0; left--) {
      const isLarger = crew.hands.length < count;
      const done = isLarger ? await this.#join() : await this.#leave(crew.hands.at(-1)!);
      if (!done) return false;
    }
    const [answer] = (await this.#look()).answers;
    if (answer !== undefined) out.write(`\n${indented(membersTable(answer))}\n`);
    return crew.hands.length === count;
  }

  async #join(): Promise<boolean> {
    const { crew, out } = this.#options;
    const hand = crew.hire();
    const { id, respPort } = hand.node;
    out.write(`${id} joins, at port ${respPort}.\n`);
    // One that is not wanted any more ends by itself.
    const endOf = ({ phase, members }: TopologyAnswer): End | undefined =>
      phase === 'steady' && members.some((member) => member.id === id) ? 'done' : undefined;
    const end = await this.#wait(endOf, () => hand.isGone);
    if (end === 'done') {
      crew.settledIn(hand);
      await hand.settled;
    } else if (hand.isGone && !crew.isStopping)
      out.write(`${id} ended before it was taken in; the cluster is as it was.\n`);
    return end === 'done';
  }

  async #leave(hand: Hand): Promise<boolean> {
    const { out } = this.#options;
    const { id } = hand.node;
    out.write(`${id} leaves, and gives away what it holds.\n`);
    const asked = await this.#askToLeave(hand);
    if (asked === undefined) return false;
    const endOf = ({ phase, epoch, members }: TopologyAnswer): End | undefined => {
      if (phase !== 'steady') return undefined;
      if (!members.some((member) => member.id === id)) return 'done';
      // Somebody else may cancel it: then all is as before, in a later epoch.
      return epoch > asked.epoch ? 'given up' : undefined;
    };
    const end = await this.#wait(endOf, () => false);
    if (end === 'given up') {
      out.write(
        `${id} stays: its leaving was cancelled meanwhile. To let it go after all: dure node leave ${id}\n`,
      );
    }
    if (end !== 'done') return false;
    await Promise.race([hand.ended, delay(endMs, undefined, { ref: false })]);
    return true;
  }

  /** Asks the others, one after the other, until one takes it. @returns what that one answered */
  async #askToLeave({ node }: Hand): Promise<TopologyAnswer | undefined> {
    const { crew, password } = this.#options;
    const call = { path: `/v1/nodes/${node.id}/leave`, method: 'POST' } as const;
    while (!crew.isStopping) {
      for (const other of crew.hands) {
        if (other.node.id === node.id || !other.isReady || other.isGone) continue;
        const asked = { id: other.node.id, address: addressOf(other) };
        const reply = await askNode<TopologyAnswer>(asked, call, password);
        if ('body' in reply) return reply.body;
        this.#tell(reply.problem);
      }
      await delay(lookEveryMs);
    }
    return undefined;
  }

  /**
   * Looks again and again, and tells how far the change is.
   * @param endOf how it ended, by the latest page
   * @param isLost nobody waits for it any more
   * @returns how it ended; undefined if it is lost, or the crew is stopped
   */
  async #wait(
    endOf: (answer: TopologyAnswer) => End | undefined,
    isLost: () => boolean,
  ): Promise<End | undefined> {
    const { crew, out } = this.#options;
    const beganAt = performance.now();
    let bytes = 0;
    let hasBegun = false;
    while (!crew.isStopping && !isLost()) {
      const { answers } = await this.#look();
      const [answer] = answers;
      const sum = moveSumOf(answers);
      const end = answer === undefined ? undefined : endOf(answer);
      if (answer !== undefined && end !== undefined) {
        if (end === 'done')
          out.write(`${endWords(answer.change, answer, bytes, performance.now() - beganAt)}\n`);
        return end;
      }
      const isSlow = performance.now() - beganAt > slowMs;
      hasBegun ||= answer !== undefined && answer.phase !== 'steady';
      if (answer !== undefined && hasBegun) {
        bytes = Math.max(bytes, sum.bytes);
        this.#tell(`${changeLine(answer, sum)}${isSlow ? advice(answer, answers) : ''}`);
      } else if (isSlow) this.#tell('The change has not begun yet; the lines of the nodes say why.');
      await delay(lookEveryMs);
    }
    return undefined;
  }

  #look(): Promise<TopologyLook> {
    const { crew, password } = this.#options;
    const asked = crew.hands.filter(({ isGone, isReady }) => isReady && !isGone).map(addressOf);
    return lookAtTopology(asked, password, askMs);
  }

  /** A line, not the same again, and not too often. */
  #tell(line: string): void {
    const now = performance.now();
    if (line === this.#told || now - this.#toldAt < tellEveryMs) return;
    this.#told = line;
    this.#toldAt = now;
    this.#options.out.write(`${line}\n`);
  }
}

function advice(answer: TopologyAnswer, answers: readonly TopologyAnswer[]): string {
  const words = waitAdvice(moveSumOf(answers), answer);
  return words === '' ? '' : `\n${words}`;
}

function addressOf({ seat }: Hand): string {
  return addressWords(seat.member.host, seat.member.httpPort);
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
