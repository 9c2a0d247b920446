/**
 * Churn: members come and go while the run lasts.
 *
 * The picture: the village office. Requests lie in a tray; an official asks one node after another until
 * the request is begun, as a person with a command line does who is told "not now" or nothing at all. A
 * machine that was taken in is started with what it was told; one that learned that it is no member any more is
 * ended. A member that is *lost for good* (`remove`, `replace`) is ended first, and its disk with it: that is what
 * whoever asks vouches for.
 *
 * When the chaos is over, requests that nobody has begun are thrown away, but those for members that are lost:
 * the cluster would wait for them for ever.
 */

import { Prng } from '../src/base/prng.ts';
import type { TopologyRequest } from '../src/node/api.ts';
import type { Topology, TopologyMember } from '../src/topology/topology.ts';
import type { Cluster, Machine } from './cluster.ts';
import type { ChurnPlan, Plan, PlanChange } from './plan.ts';
import type { Schedule } from './schedule.ts';
import { EVENT, type Trace } from './trace.ts';

/** Between two looks of the office, and between two attempts for one request, microseconds. */
const lookEveryUs = 50_000;
const retryUs = 200_000;
/** A change that is in the way of a lost member's for so long is given up, microseconds. */
const cancelAfterUs = 2_000_000;

export function zonesOf({ churn }: Plan): number {
  return churn?.zones ?? 1;
}

interface Petition {
  readonly change: PlanChange;
  /** The next machine to be asked. */
  next: number;
  isAsking: boolean;
  retryAt: number;
  askedFirstAt: number;
}

/** What churn is drawn from. */
export interface ChurnContext {
  readonly nodes: number;
  readonly w: number;
  readonly durationMs: number;
  readonly kinds: readonly PlanChange['kind'][] | undefined;
  /** How many changes, at least and at most. */
  readonly count: readonly [number, number] | undefined;
}

/** The comings and goings of a plan. Members are lost for good only where W copies outlive them. */
export function drawChurn(prng: Prng, { nodes, w, durationMs, kinds, count }: ChurnContext): ChurnPlan {
  const spares = prng.pick([1, 1, 2, 3]);
  const may = kinds ?? ['join', 'join', 'leave', 'leave', 'remove', 'replace', 'weight', 'cancel'];
  const changes: PlanChange[] = [];
  const unborn = Array.from({ length: spares }, (_, i) => nodes + i);
  const members = Array.from({ length: nodes }, (_, i) => i);
  let losses = Math.min(w - 1, 1);
  let isLoss = false;
  // Founders that stay: of three members two can do without the third; of two, one cannot.
  let founders = nodes;
  const wanted = prng.between(...(count ?? [1, 4]));
  for (let i = 0; i < wanted; i++) {
    const kind = prng.pick(may);
    const coming = kind === 'join' || kind === 'replace';
    const going = kind === 'leave' || kind === 'remove' || kind === 'replace';
    const losing = kind === 'remove' || kind === 'replace';
    if ((coming && unborn.length === 0) || (going && members.length < 2) || (losing && losses === 0))
      continue;
    if ((losing || (isLoss && kind === 'leave')) && founders < 3) continue;
    const there = members.filter((member) => member < nodes);
    const lost = losing ? prng.pick(there) : 0;
    if (losing) members.splice(members.indexOf(lost), 1);
    if (losing) losses--;
    isLoss ||= losing;
    if (going) founders--;
    let node = lost;
    if (coming) node = unborn.shift()!;
    else if (kind === 'leave') node = members.splice(prng.below(members.length), 1)[0]!;
    else if (kind === 'weight') node = prng.pick(members);
    if (coming) members.push(node);
    changes.push({
      atMs: prng.below(durationMs),
      kind,
      node,
      lost,
      through: prng.below(nodes),
      weight: prng.pick([0.5, 2, 3]),
    });
  }
  return { spares, zones: prng.pick([1, 1, 2, 3]), changes: changes.sort((a, b) => a.atMs - b.atMs) };
}

export class Churn {
  readonly #schedule: Schedule;
  readonly #trace: Trace;
  readonly #cluster: Cluster;
  readonly #plan: Plan;
  #tray: Petition[] = [];
  #isOver = false;
  readonly #asking: Set<Petition> = new Set();
  readonly #prng: Prng;
  readonly #members: readonly TopologyMember[];

  constructor(
    schedule: Schedule,
    trace: Trace,
    cluster: Cluster,
    plan: Plan,
    members: readonly TopologyMember[],
  ) {
    this.#schedule = schedule;
    this.#trace = trace;
    this.#cluster = cluster;
    this.#plan = plan;
    this.#members = members;
    this.#prng = new Prng(plan.seed ^ 0x6e657773);
    if (plan.churn !== undefined) cluster.newsFor = (machine) => this.#newsFor(machine);
  }

  /** Sets an alarm for each change of the plan, and opens the office. */
  begin(startMs: number): void {
    const { churn } = this.#plan;
    if (churn === undefined) return;
    for (const change of churn.changes) {
      this.#schedule.at((startMs + change.atMs) * 1000, () => this.#file(change));
    }
    this.#schedule.after(lookEveryUs, () => this.#look());
  }

  /** The chaos is over: what nobody has begun is not asked for any more, unless the cluster cannot do without. */
  healed(): void {
    this.#isOver = true;
    // Whoever was asked may take it up yet.
    for (const petition of this.#tray) if (petition.isAsking) this.#asking.add(petition);
    this.#tray = this.#tray.filter(({ change }) => isForLost(change));
  }

  /** Requests that nobody has answered: the topology may change yet. */
  get pending(): number {
    return (
      this.#tray.filter(({ change, isAsking }) => isAsking || isForLost(change)).length + this.#asking.size
    );
  }

  #file(change: PlanChange): void {
    if (this.#isOver && !isForLost(change)) return;
    this.#trace.add(this.#schedule.now, EVENT.fault, change.node, -2, change.through);
    this.#trace.say(this.#schedule.now, () => `CHANGE ${change.kind} ${this.#id(change.node)}`);
    if (isForLost(change)) this.#cluster.bury(change.lost, true);
    this.#tray.push({
      change,
      next: change.through,
      isAsking: false,
      retryAt: 0,
      askedFirstAt: this.#schedule.now,
    });
  }

  #look(): void {
    this.#schedule.after(lookEveryUs, () => this.#look());
    const { topology } = this.#cluster;
    if (topology !== undefined) this.#meet(topology);
    for (const petition of [...this.#tray]) {
      if (petition.isAsking || this.#schedule.now < petition.retryAt) continue;
      if (topology !== undefined && this.#isDone(petition.change, topology)) this.#drop(petition);
      else this.#ask(petition);
    }
  }

  /** Starts whoever was taken in, and ends whoever learned that it is no member any more. */
  #meet(topology: Topology): void {
    for (const machine of this.#cluster.machines) {
      if (machine.state === 'unborn' && topology.has(machine.id)) this.#cluster.bear(machine.index, topology);
      else if (machine.state === 'present' && machine.node?.topology.has(machine.id) === false) {
        this.#trace.say(this.#schedule.now, () => `${machine.id} has left`);
        this.#cluster.bury(machine.index, false);
      } else if (machine.state === 'present' && machine.ready) this.#askForNews(machine, topology);
    }
  }

  /** A process that starts asks the others over HTTP, and perhaps reaches one that is up to date. */
  #newsFor(machine: Machine): Topology | undefined {
    const others = this.#cluster.present.filter((other) => other !== machine && other.ready);
    if (others.length === 0 || (!this.#isOver && this.#prng.chance(0.5))) return undefined;
    const topologies = others.map((other) => other.node!.topology);
    return topologies.reduce((one, other) => (other.epoch > one.epoch ? other : one));
  }

  /** One that runs and hears nobody any more asks likewise: those who dropped it do not take its pipes. */
  #askForNews(machine: Machine, latest: Topology): void {
    if (!this.#isOver || machine.node === undefined || machine.node.topology.epoch === latest.epoch) return;
    const hears = machine.node.members().some(({ id, live }) => live && id !== machine.id);
    if (!hears) this.#cluster.input(machine, (node) => node.learnTopology(latest));
  }

  #isDone(change: PlanChange, topology: Topology): boolean {
    const isMember = (index: number): boolean => topology.has(this.#id(index));
    const owns = (index: number): boolean => topology.read.has(this.#id(index));
    switch (change.kind) {
      case 'join':
        return isMember(change.node);
      case 'leave':
        return !isMember(change.node) || topology.change?.nodes.includes(this.#id(change.node)) === true;
      case 'remove':
        return !isMember(change.lost) && !owns(change.lost);
      case 'replace':
        // Where another change was in the way, it was removed without a successor.
        return !isMember(change.lost) && !owns(change.lost);
      default:
        return false;
    }
  }

  #ask(petition: Petition): void {
    const { change } = petition;
    const machine = this.#machineFrom(petition.next);
    petition.retryAt = this.#schedule.now + retryUs;
    if (machine === undefined) return;
    petition.next = machine.index + 1;
    petition.isAsking = true;
    const { life } = machine;
    const inTheWay = isForLost(change) && this.#schedule.now - petition.askedFirstAt > cancelAfterUs;
    const { topology } = this.#cluster;
    const request = inTheWay ? this.#wayOut(change, topology) : this.#requestOf(change);
    const giveUp = (): void => {
      // A process that ended answers nobody.
      if (petition.isAsking && machine.life !== life) this.#answered(petition);
      else if (petition.isAsking) this.#schedule.after(retryUs, giveUp);
    };
    this.#schedule.after(retryUs, giveUp);
    this.#cluster.input(machine, (node) =>
      node.changeTopology(request, (error) => {
        if (machine.life !== life) return;
        this.#answered(petition);
        const words = error === undefined ? 'begun' : `${error.code}: ${error.message}`;
        this.#trace.say(this.#schedule.now, () => `${machine.id} → ${request.kind} ${words}`);
        // What was begun may be given up by another, and is not asked for again; what must be done is, until it is seen.
        if (error === undefined && !isForLost(change)) this.#drop(petition);
        else if (error?.code === 'invalid' && change.kind === 'cancel') this.#drop(petition);
      }),
    );
  }

  #answered(petition: Petition): void {
    petition.isAsking = false;
    this.#asking.delete(petition);
  }

  /** A change is in the way of that of a lost member, and may wait for that one itself: so it must know. */
  #wayOut(change: PlanChange, topology: Topology | undefined): TopologyRequest {
    const id = this.#id(change.lost);
    if (topology === undefined || topology.phase === 'steady') return this.#requestOf(change);
    const { phase } = topology;
    const { gone, nodes, kind } = topology.change!;
    const isOther = !gone.includes(id);
    // Or it waits for a newcomer whose process has ended: it was taken in once before, and the change given up.
    const isComing = kind === 'join' || kind === 'replace';
    const isAbandoned =
      isComing && this.#cluster.machines.some((one) => one.state === 'gone' && nodes.includes(one.id));
    if ((isOther || isAbandoned) && phase !== 'switch') return { kind: 'cancel' };
    return isOther ? { kind: 'remove', ids: [id] } : this.#requestOf(change);
  }

  #requestOf({ kind, node, lost, weight }: PlanChange): TopologyRequest {
    const member = this.#members[node]!;
    switch (kind) {
      case 'join':
        return { kind, member };
      case 'leave':
        return { kind, id: member.id };
      case 'remove':
        return { kind, ids: [this.#id(lost)] };
      case 'replace':
        // Taken in once, and then the change was given up: a process that left does not come again.
        if (this.#cluster.machines[node]!.state === 'gone') return { kind: 'remove', ids: [this.#id(lost)] };
        return { kind, id: this.#id(lost), member };
      case 'weight':
        return { kind, id: member.id, weight };
      case 'cancel':
        return { kind };
    }
  }

  #machineFrom(start: number): Machine | undefined {
    const { machines } = this.#cluster;
    for (let i = 0; i < machines.length; i++) {
      const machine = machines[(start + i) % machines.length]!;
      if (machine.state === 'present' && machine.up && machine.ready && !machine.frozen) return machine;
    }
    return undefined;
  }

  #drop(petition: Petition): void {
    this.#tray = this.#tray.filter((other) => other !== petition);
  }

  #id(index: number): string {
    return this.#members[index]!.id;
  }
}

function isForLost({ kind }: PlanChange): boolean {
  return kind === 'remove' || kind === 'replace';
}
