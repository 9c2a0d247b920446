/**
 * The cluster: unmodified nodes, each on simulated ports, in one process under one schedule.
 *
 * The picture: a row of machines. A machine has a disk and a clock, which stay, and a process, which
 * comes and goes: `start` makes a new `Node` on the surviving disk, `crash` and `losePower` end it,
 * `freeze` stops it so that everything meant for it piles up and arrives in a burst. An input that
 * was meant for one life of a process never reaches the next.
 *
 * A node that throws is a finding, kept in `faults`; the machine is then as if crashed.
 */

import { CodedError } from '../src/base/errors.ts';
import { Prng } from '../src/base/prng.ts';
import type { NodeApi } from '../src/node/api.ts';
import type { NodeOptions, NodePorts } from '../src/node/options.ts';
import { knownTopology } from '../src/node/topology-desk.ts';
import type { LogFields, LogLevel } from '../src/ports/log.ts';
import type { NodeId, TransportHandler } from '../src/ports/transport.ts';
import type { Topology } from '../src/topology/topology.ts';
import { type ClockFaults, SimClock } from './clock.ts';
import { type DiskProfile, type DiskSnapshot, SimDisk, type SimStorage } from './disk.ts';
import { type NetworkProfile, SimNetwork } from './network.ts';
import type { Micros, Schedule } from './schedule.ts';
import { EVENT, type Trace } from './trace.ts';

/** What the simulation needs of `src/node/node.ts`. */
export interface SimulatedNode extends NodeApi, TransportHandler {
  start(done: (error?: CodedError) => void): void;
  tick(): void;
  endTurn(): void;
  stop(): void;
  learnTopology(topology: Topology): void;
}

export type NodeFactory = (options: NodeOptions, ports: NodePorts) => SimulatedNode;

export interface ClusterConfig {
  readonly seed: number;
  readonly ids: readonly NodeId[];
  /** The first so many machines are founders; the others wait to be taken in. */
  readonly founders?: number;
  readonly clocks: readonly ClockFaults[];
  readonly network: NetworkProfile;
  readonly disk: DiskProfile;
  /** Options of each node, all but the ports. */
  readonly optionsOf: (index: number) => NodeOptions;
  /** Between two ticks of a node. */
  readonly tickUs: Micros;
  /** 0: a turn ends right after the input that asked for it; else inputs of so long share a turn. */
  readonly turnUs: Micros;
}

/** A machine. */
export class Machine {
  readonly index: number;
  readonly id: NodeId;
  readonly clock: SimClock;
  readonly disk: SimDisk;
  node: SimulatedNode | undefined;
  storage: SimStorage | undefined;
  /** Whether `start` has completed in this life. */
  ready = false;
  /** Raised with each start and each end of a process. */
  life = 0;
  frozen = false;
  /** What piles up while it is frozen. */
  pending: (() => void)[] = [];
  woken = false;
  turnSet = false;
  /** Cleared when the process stops: what is still told to it changes nothing any more. */
  turning = true;
  /** `unborn`: waits to be taken in. `gone`: it left, or was lost for good, and its process has ended. */
  state: 'unborn' | 'present' | 'gone' = 'present';
  /** What it was told when it was taken in; undefined for a founder. */
  joinedWith: Topology | undefined = undefined;
  topologySeen: Topology | undefined = undefined;
  /** Each input takes so long, microseconds; 0 for no time at all. */
  slowUs = 0;
  /** When a slow machine will have worked off what it was given. */
  busyUntil = 0;

  constructor(index: number, id: NodeId, clock: SimClock, disk: SimDisk) {
    this.index = index;
    this.id = id;
    this.clock = clock;
    this.disk = disk;
  }

  get up(): boolean {
    return this.node !== undefined;
  }
}

/** A slow machine is behind by so much at most, microseconds. */
const BACKLOG_MAX_US = 600_000;

export class Cluster {
  readonly machines: readonly Machine[];
  readonly network: SimNetwork;
  /** Nodes that threw: always a finding. */
  readonly faults: string[] = [];
  /** Epochs of which two nodes knew different ones: always a finding. */
  readonly epochsContradicted: Set<string> = new Set();
  /** Every epoch a node knew, and what it said. */
  readonly #epochs: Map<number, { readonly node: NodeId; readonly words: string }> = new Map();
  /** What other members tell a process that starts, by other ways than its pipes; undefined if nobody does. */
  newsFor: ((machine: Machine) => Topology | undefined) | undefined;
  /** Called when a process ends, so that its clients learn of it. */
  onEnd: ((machine: Machine) => void) | undefined;
  /** Called when a process is frozen or slow: the deadlines of its requests mean nothing then. */
  onFreeze: ((machine: Machine) => void) | undefined;
  readonly #schedule: Schedule;
  readonly #trace: Trace;
  readonly #config: ClusterConfig;
  readonly #factory: NodeFactory;
  readonly #prng: Prng;

  constructor(schedule: Schedule, trace: Trace, config: ClusterConfig, factory: NodeFactory) {
    this.#schedule = schedule;
    this.#trace = trace;
    this.#config = config;
    this.#factory = factory;
    this.#prng = new Prng(config.seed);
    const networkPrng = this.#prng.fork();
    this.machines = config.ids.map((id, index) => {
      const disk = new SimDisk(schedule, this.#prng.fork(), config.disk);
      const machine = new Machine(index, id, new SimClock(schedule, config.clocks[index]!), disk);
      if (index >= (config.founders ?? config.ids.length)) machine.state = 'unborn';
      return machine;
    });
    this.network = new SimNetwork(schedule, networkPrng, trace, config.network, config.ids, {
      input: (index, run) => {
        const machine = this.machines[index]!;
        this.input(machine, (node) => run(node));
      },
      reachable: (index) => this.machines[index]!.up && !this.machines[index]!.frozen,
    });
  }

  /** The machines whose nodes take part: all but those that wait to be taken in or have gone for good. */
  get present(): Machine[] {
    return this.machines.filter((machine) => machine.state === 'present');
  }

  /** The latest topology any process knows; undefined if none runs. */
  get topology(): Topology | undefined {
    let latest: Topology | undefined;
    for (const { node } of this.machines) {
      if (node !== undefined && (latest === undefined || node.topology.epoch > latest.epoch))
        latest = node.topology;
    }
    return latest;
  }

  /** A machine is taken in: it starts with what it was told. */
  bear(index: number, topology: Topology): void {
    const machine = this.machines[index]!;
    machine.state = 'present';
    machine.joinedWith = topology;
    this.start(index);
  }

  /** The process ends for good: after it left, or (`silent`) with its machine. */
  bury(index: number, silent: boolean): void {
    if (silent) this.losePower(index);
    else this.crash(index);
    this.machines[index]!.state = 'gone';
  }

  /** Starts a process on a machine that has none. */
  start(index: number): void {
    const machine = this.machines[index]!;
    if (machine.up || machine.state !== 'present') return;
    const life = ++machine.life;
    machine.ready = false;
    machine.frozen = false;
    machine.pending = [];
    machine.woken = false;
    machine.turnSet = false;
    machine.turning = true;
    machine.busyUntil = 0;
    machine.clock.reboot(this.#prng.below(1_000_000));
    const storage = machine.disk.open((run) => this.#run(machine, life, run));
    storage.onDone = (entries, failed) => {
      this.#trace.events++;
      this.#trace.add(this.#schedule.now, EVENT.diskDone, index, entries, failed ? 1 : 0);
    };
    machine.storage = storage;
    const random = this.#prng.fork();
    const options = this.#optionsOf(machine);
    const topology = this.#read(machine, () => knownTopology(options, storage));
    if (topology === undefined) return;
    const known = topology.members.map((member) => member.id);
    const ports: NodePorts = {
      clock: machine.clock,
      random: { u32: () => random.u32() },
      transport: this.network.attach(index, known),
      storage,
      log: { write: (level, event, fields) => this.#log(machine, level, event, fields) },
      turn: { wake: () => this.#wake(machine, life) },
    };
    this.#trace.add(this.#schedule.now, EVENT.start, index, life, 0);
    this.#trace.say(this.#schedule.now, () => `${machine.id} starts`);
    machine.node = this.#read(machine, () => this.#factory(options, ports));
    if (machine.node === undefined) return;
    this.input(machine, (node) =>
      node.start((error) => {
        if (machine.life !== life) return;
        if (error === undefined) machine.ready = true;
        else this.#startFailed(machine, error);
      }),
    );
    this.#tickLater(machine, life, this.#prng.below(this.#config.tickUs));
  }

  /** As configured, with what the machine was told when it was taken in, or what the others tell it now. */
  #optionsOf(machine: Machine): NodeOptions {
    const given = this.#config.optionsOf(machine.index);
    const news = this.newsFor?.(machine);
    const isNewer = news !== undefined && news.epoch > (machine.joinedWith?.epoch ?? 1);
    const told = isNewer ? news : machine.joinedWith;
    return told === undefined ? given : { ...given, topology: told };
  }

  /** What a start reads from the disk; undefined if it could not, and the machine is started again. */
  #read<T>(machine: Machine, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (error instanceof CodedError && error.code.startsWith('storage-')) this.#startFailed(machine, error);
      // It reads, or is told, that it is no member any more: its process ends, and is not started again.
      else if (error instanceof CodedError && error.code === 'unavailable') this.bury(machine.index, false);
      else this.#threw(machine, error);
      return undefined;
    }
  }

  /** Kills the process (`kill -9`): what it wrote is kept. */
  crash(index: number): void {
    this.#end(index, false, (disk) => disk.crash());
  }

  /** Cuts the power: what was not synced may be lost, and peers hear nothing. */
  losePower(index: number, torn = false): void {
    this.#end(index, true, (disk) => disk.losePower(torn));
  }

  /** The machine is lost and an empty one takes its place. */
  wipe(index: number): void {
    this.#end(index, true, (disk) => disk.wipe());
  }

  /** The machine's disk is replaced by an older copy of itself. */
  restore(index: number, snapshot: DiskSnapshot): void {
    this.#end(index, true, (disk) => disk.restore(snapshot));
  }

  /** From now on each input takes the machine so long; 0 is as before. */
  slowCpu(index: number, slowUs: number): void {
    const machine = this.machines[index]!;
    machine.slowUs = slowUs;
    if (slowUs > 0) this.onFreeze?.(machine);
  }

  /** Stops the process as SIGTERM does: requests are answered with errors, the storage is closed. */
  stop(index: number): void {
    const machine = this.machines[index]!;
    if (!machine.up || machine.frozen) return;
    const life = machine.life;
    machine.ready = false;
    this.input(machine, (node) => {
      // Told twice: the first time counts.
      if (!machine.turning) return;
      node.stop();
      // As a process does: one last turn, no more after it, and then the storage is closed.
      node.endTurn();
      machine.turning = false;
      machine.storage?.close(() => {
        if (machine.life === life) this.#end(index, false, (disk) => disk.crash());
      });
    });
  }

  /** Stops the machine's time for the process: nothing is handled until `thaw`. */
  freeze(index: number): void {
    const machine = this.machines[index]!;
    if (!machine.up || machine.frozen) return;
    machine.frozen = true;
    this.onFreeze?.(machine);
  }

  /** The process goes on: what piled up is handled at once, in order. */
  thaw(index: number): void {
    const machine = this.machines[index]!;
    if (!machine.frozen) return;
    machine.frozen = false;
    const pending = machine.pending;
    machine.pending = [];
    for (const run of pending) this.#schedule.after(0, run);
  }

  /** Runs an input of a node and, if it asked for it, ends its turn. Kept while it is frozen. */
  input(machine: Machine, run: (node: SimulatedNode) => void): void {
    this.#run(machine, machine.life, () => {
      if (machine.node) run(machine.node);
    });
  }

  #run(machine: Machine, life: number, run: () => void): void {
    if (machine.life !== life || !machine.node) return;
    if (machine.frozen) {
      machine.pending.push(() => this.#run(machine, life, run));
      return;
    }
    if (machine.slowUs > 0 || machine.busyUntil > this.#schedule.now) {
      this.#queue(machine, life, run);
      return;
    }
    this.#runNow(machine, life, run);
  }

  /** A slow machine works one input off after another; what it is given meanwhile waits its turn. */
  #queue(machine: Machine, life: number, run: () => void): void {
    const now = this.#schedule.now;
    const free = Math.max(now, machine.busyUntil);
    // More than a machine can bear is not simulated: it would never get out again.
    const takes = free - now > BACKLOG_MAX_US ? 0 : machine.slowUs;
    machine.busyUntil = free + takes;
    this.#schedule.at(machine.busyUntil, () => {
      if (machine.life !== life || !machine.node) return;
      if (machine.frozen) machine.pending.push(() => this.#run(machine, life, run));
      else this.#runNow(machine, life, run);
    });
  }

  #runNow(machine: Machine, life: number, run: () => void): void {
    try {
      run();
      if (machine.woken && machine.life === life && this.#config.turnUs === 0) this.#endTurn(machine);
    } catch (error) {
      this.#threw(machine, error);
    }
  }

  #wake(machine: Machine, life: number): void {
    if (machine.life !== life || machine.woken || !machine.turning) return;
    machine.woken = true;
    if (this.#config.turnUs === 0 || machine.turnSet) return;
    machine.turnSet = true;
    this.#schedule.after(this.#prng.below(this.#config.turnUs), () => {
      if (machine.life !== life) return;
      machine.turnSet = false;
      this.#run(machine, life, () => this.#endTurn(machine));
    });
  }

  #endTurn(machine: Machine): void {
    // A turn may ask for one more; a node that asks for ever is broken.
    for (let round = 0; machine.woken && machine.node && machine.turning; round++) {
      if (round === 1000) throw new Error('the node asked for a thousand turns in a row');
      machine.woken = false;
      this.#trace.add(this.#schedule.now, EVENT.endTurn, machine.index, 0, 0);
      machine.node.endTurn();
      if (this.#config.turnUs > 0) break;
    }
  }

  #tickLater(machine: Machine, life: number, wait: Micros): void {
    const tick = (): void => {
      if (machine.life !== life) return;
      this.#schedule.after(this.#config.tickUs, tick);
      if (machine.frozen) return;
      this.#trace.events++;
      this.#trace.add(this.#schedule.now, EVENT.tick, machine.index, 0, 0);
      this.input(machine, (node) => node.tick());
      this.#noteTopology(machine);
    };
    this.#schedule.after(wait, tick);
  }

  #noteTopology(machine: Machine): void {
    const { topology } = machine.node ?? {};
    if (topology === undefined || topology === machine.topologySeen) return;
    machine.topologySeen = topology;
    const { epoch, phase, read, other, change, members } = topology;
    const ids = members.map(({ id, weight }) => `${id}:${weight}`).join(' ');
    const words = `${phase} ${read.hash} ${other?.hash} ${change?.id} ${change?.gone.join(' ')} of ${ids}`;
    const known = this.#epochs.get(epoch);
    if (known === undefined) this.#epochs.set(epoch, { node: machine.id, words });
    else if (known.words !== words) {
      this.epochsContradicted.add(
        `epoch ${epoch} is "${known.words}" at ${known.node} and "${words}" at ${machine.id}`,
      );
    }
    this.#trace.say(this.#schedule.now, () => `${machine.id} is at epoch ${epoch}: ${words}`);
  }

  #end(index: number, silent: boolean, act: (disk: SimDisk) => void): void {
    const machine = this.machines[index]!;
    const wasUp = machine.up;
    machine.life++;
    machine.node = undefined;
    machine.storage = undefined;
    machine.ready = false;
    machine.frozen = false;
    machine.pending = [];
    act(machine.disk);
    if (!wasUp) return;
    this.network.detach(index, silent);
    this.#trace.add(this.#schedule.now, EVENT.crash, index, silent ? 1 : 0, 0);
    this.#trace.say(this.#schedule.now, () => `${machine.id} ends${silent ? ' without a word' : ''}`);
    this.onEnd?.(machine);
  }

  #threw(machine: Machine, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.faults.push(`${machine.id} threw: ${text}`);
    this.#trace.say(this.#schedule.now, () => `${machine.id} threw: ${text}`);
    this.crash(machine.index);
  }

  /** A process that cannot start ends, and is started again: a disk that fails may be well by then. */
  #startFailed(machine: Machine, error: CodedError): void {
    const life = machine.life;
    // It was told that it is no member any more: its process ends, and is not started again.
    if (error.code === 'unavailable') {
      this.#schedule.after(0, () => {
        if (machine.life === life) this.bury(machine.index, false);
      });
      return;
    }
    if (!error.code.startsWith('storage-')) this.faults.push(`${machine.id} did not start: ${error.message}`);
    this.#schedule.after(0, () => {
      if (machine.life !== life) return;
      this.crash(machine.index);
      this.#schedule.after(200_000, () => this.start(machine.index));
    });
  }

  #log(machine: Machine, level: LogLevel, event: string, fields: LogFields | undefined): void {
    this.#trace.add(this.#schedule.now, EVENT.log, machine.index, event.length, 0);
    this.#trace.say(
      this.#schedule.now,
      () => `${machine.id} ${level} ${event} ${JSON.stringify(fields ?? {})}`,
    );
  }
}
