/**
 * The node: one member of the cluster as a machine. It is given inputs (a frame, a request, a tick,
 * a storage completion) and acts through its ports; it never waits, and knows no sockets, files or
 * timers. The same machine runs under a real event loop and under simulated time.
 *
 * The picture: a switchboard. Requests from above become flights (`requests.ts`); frames from peers
 * are taken apart at the desk (`peer-desk.ts`), which serves what they ask of our replica and hands
 * answers to flights; at the end of each turn the tray goes to storage and one frame to each peer.
 */

import type { ByteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { PlanBook } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { HashForest } from '../merkle/hash-forest.ts';
import type { NodeId, TransportHandler } from '../ports/transport.ts';
import type { Replica } from '../replica/replica.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { Table } from '../ring/table.ts';
import { type RowKey, rowKeyOf } from '../rows/key.ts';
import type { Row, RowBody } from '../rows/row.ts';
import type { Topology } from '../topology/topology.ts';
import type {
  CountDone,
  FlushDone,
  MemberView,
  NodeApi,
  NodeFigures,
  PolicyDone,
  PolicyEntry,
  ReadDone,
  RequestOptions,
  ScanDone,
  TopologyDone,
  TopologyRequest,
  UpdateDone,
  VersionsDone,
  WriteDone,
} from './api.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import { Flights } from './flights.ts';
import { FrameDoor } from './frame-door.ts';
import { GossipDesk } from './gossip-desk.ts';
import { HintDesk } from './hint-desk.ts';
import { HorizonDesk } from './horizon-desk.ts';
import { nodeIdHex } from './id-hex.ts';
import { clockMark, Identity } from './identity.ts';
import { raiseIncarnation } from './incarnation.ts';
import type { Link, LinkEvents, Links } from './links.ts';
import { LocalScans } from './local-scans.ts';
import { makeContext, makeLinks, makeReplica } from './make-context.ts';
import { MoveDesk } from './move-desk.ts';
import type { MoveFigures } from './move-figures.ts';
import { NodeFacts } from './node-facts.ts';
import type { NodeOptions, NodePorts } from './options.ts';
import { PastDesk } from './past-desk.ts';
import { PeerDesk } from './peer-desk.ts';
import { Policies } from './policies.ts';
import { PolicyDesk } from './policy-desk.ts';
import { Rebuild } from './rebuild.ts';
import type { RepairDemand, RepairDone, RepairProgress } from './repair-demand.ts';
import { RepairDesk } from './repair-desk.ts';
import { RepairMarks } from './repair-marks.ts';
import { Requests } from './requests.ts';
import { RowMender } from './row-mender.ts';
import type { NodeStatus } from './status.ts';
import { StrayMarks } from './stray-marks.ts';
import { Tally } from './tally.ts';
import { knownTopology, TopologyDesk } from './topology-desk.ts';
import { WideRequests } from './wide-requests.ts';

const noMutants: ReadonlySet<string> = new Set();
export class Node implements NodeApi, TransportHandler, LinkEvents {
  readonly id: NodeId;
  readonly idHex: string;
  readonly clusterName: string;
  readonly pairBytesMax: number;
  readonly #ports: NodePorts;
  readonly #replica: Replica;
  readonly #identity: Identity;
  readonly #links: Links;
  readonly #flights: Flights;
  readonly #plans: PlanBook;
  readonly #scans: LocalScans;
  readonly #requests: Requests;
  readonly #door: FrameDoor;
  readonly #hints: HintDesk;
  readonly #repair: RepairDesk;
  readonly #horizon: HorizonDesk;
  readonly #policies: Policies;
  readonly #policyDesk: PolicyDesk;
  #topology: Topology;
  readonly #topologyDesk: TopologyDesk;
  readonly #moves: MoveDesk;
  readonly #strayMarks: StrayMarks;
  /** Desks of the rarer messages; the peer desk finds them by family. */
  readonly #desks: readonly Desk[];
  readonly #context: NodeContext;
  readonly #tally: Tally = new Tally();
  readonly #mender: RowMender;
  readonly #past: PastDesk;
  readonly #wide: WideRequests;
  readonly #facts: NodeFacts;
  /** Started, and not stopped. */
  #isRunning = false;
  /** Ends the start that is under way. */
  #starting: ((failure: CodedError | undefined) => void) | undefined = undefined;

  constructor(options: NodeOptions, ports: NodePorts) {
    this.#ports = ports;
    this.id = options.id;
    this.idHex = nodeIdHex(options.id);
    this.clusterName = options.clusterName;
    this.#topology = knownTopology(options, ports.storage);
    this.pairBytesMax = options.limits.pairBytesMax;
    const mutants = options.mutants ?? noMutants;
    const { storage, clock, random } = ports;
    const wake = (): void => ports.turn.wake();
    const damaged = (rowKey: RowKey): boolean => this.#mender.damaged(rowKey);
    this.#identity = new Identity(mutants);
    const forest = new HashForest();
    this.#strayMarks = new StrayMarks(this.#topology.partitionCount);
    this.#replica = makeReplica(options, ports, {
      topology: this.#topology,
      identity: this.#identity,
      watcher: new RepairMarks(forest, mutants.has('tree-not-marked'), this.#strayMarks),
      rowDamaged: damaged,
    });
    this.#links = makeLinks(options, ports, this.#topology, this);
    this.#flights = new Flights(random.u32());
    this.#plans = new PlanBook(options.id, this.#topology, this.#links, options.mutants);
    this.#context = makeContext({
      options,
      ports,
      topology: () => this.#topology,
      replica: this.#replica,
      identity: this.#identity,
      links: this.#links,
      plans: this.#plans,
      flights: this.#flights,
      tally: this.#tally,
    });
    const confirmed = (): boolean => this.#links.isClockConfirmed(clock.monotonic(), clock.wall());
    this.#scans = new LocalScans(storage, this.#replica, () => clock.wall(), confirmed, wake, damaged);
    this.#policies = new Policies(options.policies);
    this.#policyDesk = new PolicyDesk(this.#context, this.#policies, storage);
    this.#requests = new Requests(this.#context, this.#policies, options.updates);
    this.#wide = new WideRequests(this.#context, this.#policies, this.#requests, this.#scans);
    this.#mender = new RowMender(this.#context, this.#policies);
    this.#repair = new RepairDesk({ context: this.#context, storage, forest, random, damaged });
    const rebuild = new Rebuild(this.#context);
    rebuild.source = this.#repair;
    this.#past = new PastDesk(this.#context, random, storage, rebuild);
    this.#hints = new HintDesk(this.#context, storage, wake);
    storage.onReopened = () => {
      forest.markRange(0, SLOT_COUNT);
      this.#context.hints.recount();
    };
    const gossip = new GossipDesk(this.#links, this.#context.now);
    this.#horizon = this.#makeHorizonDesk(confirmed);
    this.#moves = this.#makeMoveDesk();
    this.#topologyDesk = this.#makeTopologyDesk();
    this.#past.onAllLost = () => this.#topologyDesk.forgetVotes();
    this.#facts = this.#makeFacts();
    this.#desks = [
      gossip,
      this.#past,
      this.#hints,
      this.#repair,
      this.#horizon,
      this.#policyDesk,
      this.#topologyDesk,
      this.#moves,
    ];
    this.#door = this.#makeDoor();
  }

  #makeMoveDesk(): MoveDesk {
    return new MoveDesk(this.#context, this.#ports.storage, {
      repair: this.#repair,
      strays: this.#strayMarks,
      epochKnown: () => this.#topologyDesk.epoch,
    });
  }

  #makeDoor(): FrameDoor {
    const handedOver = (slot: number): void => this.#repair.handedOver(slot);
    return new FrameDoor(this.#context, {
      transport: this.#ports.transport,
      peers: new PeerDesk(this.#context, this.#requests, this.#scans, this.#desks, handedOver),
      topology: this.#topologyDesk,
      desks: this.#desks,
    });
  }

  #makeTopologyDesk(): TopologyDesk {
    const { storage, random, turn } = this.#ports;
    return new TopologyDesk(this.#context, storage, random, {
      adopt: (topology) => this.#adopt(topology),
      isSettled: () => this.#moves.isSettled,
      unheard: () => this.#past.unheard,
      isBusy: () => this.#requests.waiting > 0,
      factsChanged: () => {
        this.#facts.tell();
        this.#links.announce();
      },
      servingChanged: () => this.#openOrClose(),
      wake: () => turn.wake(),
    });
  }

  #makeHorizonDesk(isClockConfirmed: () => boolean): HorizonDesk {
    return new HorizonDesk(this.#context, {
      compare: (partition, peer, compared) => this.#repair.compare(partition, peer, compared),
      hintFloorOf: (member) => this.#facts.hintFloorOf(member),
      isWhole: (partition) => this.#context.vouching.isWholeIn(partition),
      isClockConfirmed,
    });
  }

  #makeFacts(): NodeFacts {
    return new NodeFacts({
      context: this.#context,
      storage: this.#ports.storage,
      requests: this.#requests,
      hints: this.#hints,
      repair: this.#repair,
      horizon: this.#horizon,
      past: this.#past,
      policies: this.#policies,
      topologyDesk: this.#topologyDesk,
    });
  }

  /** The epoch in force at this node. */
  get topology(): Topology {
    return this.#topology;
  }

  /** The owners that reads ask. */
  get table(): Table {
    return this.#topology.read;
  }

  get replicas(): number {
    return this.#topology.read.replicaCount;
  }

  /** A later epoch is in force here from now on. Called by the topology desk, between two messages. */
  #adopt(topology: Topology): void {
    const before = this.#topology;
    this.#topology = topology;
    // What is to be said to those who go is sent before their pipes are given up.
    this.#links.epoch = topology.epoch;
    this.#links.setMembers(topology.members, this.monotonic());
    this.#ports.transport.setPeers(topology.members, topology.epoch);
    this.#context.past.setMembers([...this.#links.all()].map(({ member }) => member.id));
    this.#plans.setTopology(topology);
    for (const desk of this.#desks) desk.topologyChanged?.(before, topology);
    this.#flights.topologyChanged();
    if (!topology.has(this.id)) this.#goodbye();
  }

  /** This node is no member any more: it only waits to be ended. A start comes to its end with an error. */
  #goodbye(): void {
    this.#openOrClose();
    this.#policyDesk.stop();
    this.#flights.expireAll();
    this.#links.leave();
    this.#starting?.(new CodedError('unavailable', 'none', 'this node is no member of its cluster any more'));
  }

  /** Takes requests from now on, or does not, as the topology desk says. */
  #openOrClose(): void {
    const { refusal } = this.#topologyDesk;
    this.#requests.closedBecause = refusal;
    const isOpen = this.#isRunning && refusal === undefined;
    this.#requests.isServing = isOpen;
    this.#policyDesk.open = isOpen;
  }

  /**
   * Reads identity and floor from storage and reserves write stamps; requests are taken once `done` was called
   * without an error. `unavailable` says that this node learned meanwhile that it is no member any more.
   */
  start(done: (error?: CodedError) => void): void {
    this.#starting = (failure) => {
      this.#starting = undefined;
      this.#isRunning = failure === undefined;
      this.#repair.open = failure === undefined;
      this.#openOrClose();
      done(failure);
    };
    try {
      this.#replica.start(clockMark(this.#ports.storage));
      this.#context.hints.open();
      this.#context.hints.load();
      this.#policyDesk.start();
      // All notes go to storage in one batch.
      let waiting = 3;
      const granted = (error: CodedError | undefined): void => {
        if (--waiting === 0 || error !== undefined) this.#starting?.(error);
      };
      raiseIncarnation(this.#ports.storage, this.#replica, (error, incarnation) => {
        if (error === undefined) this.#links.begin(incarnation, this.monotonic());
        granted(error);
      });
      this.#past.start(granted);
      this.#topologyDesk.start(granted);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#starting?.(error);
    }
  }

  /** Takes no new requests; those under way go on, and what peers ask of this replica is answered. */
  drain(): void {
    this.#requests.drain();
  }

  /** Takes no more requests and answers those under way with errors. */
  stop(): void {
    this.#isRunning = false;
    this.#requests.isServing = false;
    this.#repair.open = false;
    this.#policyDesk.stop();
    this.#topologyDesk.stop();
    this.#flights.expireAll();
    this.#links.leave();
    this.#links.flush();
  }

  // Inputs from the transport.

  peerUp(peer: NodeId, version?: number): void {
    this.#links.peerUp(peer, this.#ports.clock.monotonic(), version);
  }

  peerDown(peer: NodeId, reason: string): void {
    this.#links.peerDown(peer, reason, this.#ports.clock.monotonic());
    this.#flights.peerLost(peer);
  }

  frame(peer: NodeId, frame: Uint8Array): void {
    this.#door.take(peer, frame);
  }

  livenessChanged(link: Link): void {
    this.#plans.invalidate();
    if (link.live) this.#flights.peerBack(link.member.id);
    // Whoever said goodbye finishes what is under way: it is lost with its pipe, and not before.
    else if (!link.up || link.status !== 'left') this.#flights.peerLost(link.member.id);
    for (const desk of this.#desks) desk.livenessChanged?.(link);
  }

  // Inputs from whoever drives the node.

  /** Deadlines, hedges, heartbeats, clean-up. Call every few milliseconds. */
  tick(): void {
    const now = this.#ports.clock.monotonic();
    this.#flights.tick(now);
    this.#links.tick(now, this.#ports.clock.wall(), this.#replica.floor);
    this.#scans.sweep(now);
    // A node that goes begins nothing: it waits for those who stay, and then to be ended.
    const { isGoing } = this.#topologyDesk;
    for (const desk of isGoing ? [this.#topologyDesk] : this.#desks) desk.tick?.(now);
    if (isGoing) return;
    this.#facts.tick(now);
    this.#mender.tick(now);
  }

  /** Nothing is under way that ticks bring forward: they may come less often. */
  get isQuiet(): boolean {
    const isIdle = this.#flights.unanswered + this.#flights.answered === 0;
    return (
      isIdle &&
      this.#repair.isQuiet &&
      this.#policyDesk.isQuiet &&
      this.#topologyDesk.isQuiet &&
      this.#moves.isQuiet
    );
  }

  /** Ends a turn: one batch to storage, one frame to each peer. */
  endTurn(): void {
    this.#requests.turnEnded();
    this.#scans.turn();
    for (const desk of this.#desks) desk.endTurn?.();
    this.#replica.commit();
    this.#links.flush();
  }

  // Requests.

  wall(): number {
    return this.#ports.clock.wall();
  }

  monotonic(): number {
    return this.#ports.clock.monotonic();
  }

  policyOf(key: ByteString): Policy {
    return this.#policies.policyOf(key);
  }

  policies(): readonly PolicyEntry[] {
    return this.#policies.list();
  }

  setPolicy(prefix: ByteString, policy: Policy | undefined, done: PolicyDone): void {
    this.#policyDesk.change(prefix, policy, done);
  }

  read(key: ByteString, options: RequestOptions, done: ReadDone): void {
    this.#requests.read(key, options, false, done);
  }

  readVersions(key: ByteString, options: RequestOptions, done: VersionsDone): void {
    this.#requests.readVersions(key, options, done);
  }

  readNow(key: ByteString, options: RequestOptions): Row | null | undefined {
    return this.#requests.readNow(key, options);
  }

  write(key: ByteString, body: RowBody, options: RequestOptions, done: WriteDone): void {
    this.#requests.write(key, body, options, false, done);
  }

  update(
    key: ByteString,
    operation: string,
    args: readonly Uint8Array[],
    options: RequestOptions,
    done: UpdateDone,
  ): void {
    this.#requests.update(key, operation, args, options, false, done);
  }

  scan(cursor: number, count: number, options: RequestOptions, done: ScanDone): void {
    this.#wide.scan(cursor, count, options, done);
  }

  count(slotFrom: number, slotTo: number, options: RequestOptions, done: CountDone): void {
    this.#wide.count(slotFrom, slotTo, options, done);
  }

  flush(options: RequestOptions, done: FlushDone): void {
    this.#wide.flush(options, done);
  }

  changeTopology(request: TopologyRequest, done: TopologyDone): void {
    this.#topologyDesk.request(request, done);
  }

  /** See `TopologyDesk.learn`. */
  learnTopology(topology: Topology): void {
    this.#topologyDesk.learn(topology);
  }

  moves(): MoveFigures {
    return this.#moves.figures();
  }

  repair(demand: RepairDemand, progress: (progress: RepairProgress) => void, done: RepairDone): void {
    this.#repair.request(demand, progress, done);
  }

  /** For oracles: see `RepairDesk.rootOf`. */
  rootOf(partition: number): ReturnType<RepairDesk['rootOf']> {
    return this.#repair.rootOf(partition);
  }

  members(): readonly MemberView[] {
    return this.#facts.members();
  }

  answersFor(partition: number, strict: boolean): boolean {
    const { vouching } = this.#context;
    return vouching.mayAnswer((partition * SLOT_COUNT) / vouching.partitionCount, strict);
  }

  figures(): NodeFigures {
    return this.#facts.figures();
  }

  status(): NodeStatus {
    return this.#facts.status(this);
  }

  idleSeconds(key: ByteString): number | undefined {
    return this.#ports.storage.idleSeconds?.(rowKeyOf(key));
  }

  frequency(key: ByteString): number | undefined {
    return this.#ports.storage.frequency?.(rowKeyOf(key));
  }
}
