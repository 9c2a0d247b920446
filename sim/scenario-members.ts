/**
 * Members that come and go in a scenario: what is asked of the topology, and what is expected of it.
 *
 * The picture: whoever keeps the machines of a story running. He starts a machine that was taken in with what the
 * others know, ends a process that learned that it is no member any more, and switches off what is lost for good
 * before anybody is told that it is. A process that starts knows no more than its disk unless the story says
 * that it asks the others (`news`), as real ones do over HTTP.
 */

import type { TopologyRequest } from '../src/node/api.ts';
import { slotOf } from '../src/ring/slots.ts';
import type { Table } from '../src/ring/table.ts';
import type { TopologyMember } from '../src/topology/topology.ts';
import type { Cluster, Machine } from './cluster.ts';
import { unsettledTopology } from './inspection.ts';
import { answerOnce, ScenarioError, type StoryRequest, takeAfter } from './scenario-words.ts';
import type { Schedule } from './schedule.ts';

/** Between two rounds past the machines, microseconds. */
const lookEveryUs = 50_000;

/** Requests to the topology. `remove` is one if what follows is a node, and else one of policy `siblings`. */
const MEMBER_VERBS: ReadonlySet<string> = new Set(['join', 'leave', 'remove', 'replace', 'weight', 'cancel']);

export class ScenarioMembers {
  readonly #schedule: Schedule;
  readonly #cluster: Cluster;
  readonly #members: readonly TopologyMember[];
  /** The owners as founded. */
  readonly #founded: Table;

  constructor(
    schedule: Schedule,
    cluster: Cluster,
    members: readonly TopologyMember[],
    founded: Table,
    hasNews: boolean,
  ) {
    this.#schedule = schedule;
    this.#cluster = cluster;
    this.#members = members;
    this.#founded = founded;
    if (hasNews) cluster.newsFor = () => cluster.topology;
    schedule.after(lookEveryUs, () => this.#look());
  }

  /** The owners whom reads ask, by the latest topology that a process knows. */
  get table(): Table {
    return this.#cluster.topology?.read ?? this.#founded;
  }

  #look(): void {
    this.#schedule.after(lookEveryUs, () => this.#look());
    const { topology, machines } = this.#cluster;
    if (topology === undefined) return;
    for (const machine of machines) {
      const { state, index, id, node } = machine;
      if (state === 'unborn' && topology.has(id)) this.#cluster.bear(index, topology);
      else if (state === 'present' && node?.topology.has(id) === false) this.#cluster.bury(index, false);
    }
  }

  isRequest([verb, first]: readonly string[]): boolean {
    return MEMBER_VERBS.has(verb!) && (verb !== 'remove' || this.#members.some(({ id }) => id === first));
  }

  /** `join d at a`, `leave c at a`, `remove c b at a`, `replace c by d at a`, `weight b 2 at a`, `cancel at a`. */
  ask(words: readonly string[], machine: Machine): StoryRequest {
    const request: StoryRequest = { answer: undefined };
    const what = this.#requestOf(words.slice(0, words.indexOf('at')));
    this.#cluster.input(machine, (node) =>
      node.changeTopology(what, (error) => answerOnce(request, error, 'ok')),
    );
    return request;
  }

  #requestOf(given: readonly string[]): TopologyRequest {
    const words = [...given];
    const by = takeAfter(words, 'by');
    const [verb, first, second] = words;
    switch (verb) {
      case 'join':
        return { kind: 'join', member: this.#member(first) };
      case 'leave':
        return { kind: 'leave', id: this.#member(first).id };
      case 'weight':
        return { kind: 'weight', id: this.#member(first).id, weight: Number(second) };
      case 'remove':
        return { kind: 'remove', ids: words.slice(1).map((id) => this.#lost(id)) };
      case 'replace':
        return { kind: 'replace', id: this.#lost(first), member: this.#member(by) };
      default:
        return { kind: 'cancel' };
    }
  }

  /** Whoever asks for it vouches that the machine is off. */
  #lost(id: string | undefined): string {
    const member = this.#member(id);
    this.lose(member.id);
    return member.id;
  }

  /** A machine is lost for good, its disk with it. */
  lose(id: string | undefined): void {
    const index = this.#members.indexOf(this.#member(id));
    if (this.#cluster.machines[index]!.state === 'present') this.#cluster.bury(index, true);
  }

  /** A process that runs asks the others over HTTP what became of the cluster. */
  tell(machine: Machine): void {
    const { topology } = this.#cluster;
    if (topology !== undefined) this.#cluster.input(machine, (node) => node.learnTopology(topology));
  }

  /** What speaks against `steady`, `epoch 4`, `phase copy`, `members a+b`, `a owns k`; null if it is none of these. */
  contradiction([first, second, third]: readonly string[]): string | undefined | null {
    const { topology } = this.#cluster;
    if (first === 'steady') {
      const starting = this.#cluster.present.find((machine) => !machine.ready);
      return starting === undefined ? unsettledTopology(this.#cluster)[0] : `${starting.id} is not ready`;
    }
    if (first === 'epoch') {
      const late = this.#cluster.present.find(({ node }) => node && node.topology.epoch !== Number(second));
      return late === undefined ? undefined : `${late.id} knows epoch ${late.node!.topology.epoch}`;
    }
    if (first === 'phase') return topology?.phase === second ? undefined : `the phase is ${topology?.phase}`;
    if (first === 'members') {
      const ids = topology?.members.map(({ id }) => id).join('+');
      return ids === second ? undefined : `the members are ${ids}`;
    }
    if (second === 'gone') {
      const { state } = this.#cluster.machines[this.#members.indexOf(this.#member(first))]!;
      return state === 'gone' ? undefined : `${first} is ${state}`;
    }
    if (second !== 'owns' && second !== 'disowns') return null;
    const owners = this.table.preferenceList(slotOf(third ?? ''));
    const isOwner = owners.includes(this.#member(first).id);
    return isOwner === (second === 'owns') ? undefined : `the owners of ${third} are ${owners.join(', ')}`;
  }

  #member(id: string | undefined): TopologyMember {
    const member = this.#members.find((one) => one.id === id);
    if (member === undefined) throw new ScenarioError(`there is no node ${id}`);
    return member;
  }
}
