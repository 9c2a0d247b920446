/**
 * The composition root of one node: from a configuration to a running member of a cluster, and back.
 *
 * The picture: assembling a machine on a bench, from the ground up: directory and lock, storage, ring,
 * the node with its driver, the pipes to its peers, and last the doors for clients, so that nobody can
 * come in before there is somebody to serve them. Stopping takes it apart in the other direction.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { crc32 } from 'node:zlib';
import { setAside } from '../adapters/classic-level-open.ts';
import { SystemClock } from '../adapters/clock.ts';
import { NodeDriver } from '../adapters/driver.ts';
import { LONE_TRANSPORT } from '../adapters/lone-transport.ts';
import { SecureRandom } from '../adapters/random.ts';
import { ClassicLevelStorage } from '../adapters/storage-classic-level.ts';
import { MemoryStorage } from '../adapters/storage-memory.ts';
import { TcpTransport } from '../adapters/tcp-transport.ts';
import { accelerateCrc32 } from '../base/crc32.ts';
import { CodedError } from '../base/errors.ts';
import { UPDATES } from '../commands/updates.ts';
import type { NodeApi } from '../node/api.ts';
import { Node } from '../node/node.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { Storage } from '../ports/storage.ts';
import { place } from '../ring/placement.ts';
import type { Topology } from '../topology/topology.ts';
import { type NodeConfig, policyTableOf } from './config.ts';
import { type Departure, followTopology } from './departure.ts';
import { LockedError, lockDirectoryPatiently } from './directory-lock.ts';
import type { Doors } from './doors.ts';
import { Drain, type Drained } from './drain.ts';
import { EXIT } from './exit-codes.ts';
import { dataFormat } from './identity-file.ts';
import { notMember } from './joining.ts';
import { checkIdentity, findTopology, replicasBefore } from './known-topology.ts';
import { portError, StartError } from './start-error.ts';
import { VERSION } from './version.ts';

const linkedPollMs = 20;
/** After the goodbye what peers have sent already is still answered, for so long, milliseconds. */
const lingerMs = 80;
/** Between ticks of a node with nothing to do, milliseconds; heartbeats are to leave in time. */
const quietTickMaxMs = 40;
const quietTicksPerBeat = 5;

/** A start on a damaged database is tried so often: to find out, to set it aside, and on the empty one. */
const attemptsMax = 3;

export interface NodeProcessOptions {
  readonly log: Log;
  /** Go on although storage lost commits it had promised to keep. */
  readonly acceptStorageLoss: boolean;
  /**
   * In the process of an application, which is a guest's: V8 keeps the settings it has, and with the memory engine
   * no directory is touched. False if left out.
   */
  readonly isEmbedded?: boolean;
  /** For tests: what to keep rows in, instead of the engine that the configuration names. */
  readonly openStorage?: (onFail: (failure: string) => void) => Promise<Storage>;
}

export interface NodeProcess {
  /** The node itself, for who lives in its process. */
  readonly node: NodeApi;
  /** Waits until every member can be reached, at most so long. @returns whether they can. */
  linked(timeoutMs: number): Promise<boolean>;
  /** Settles, with the reason, when storage fails: the node serves nothing any more. */
  readonly failed: Promise<string>;
  /** Settles when the node is no member of its cluster any more: it is to be stopped. */
  readonly departed: Promise<Departure>;
  /**
   * Not ready any more, as health tells, and everybody is served on for `graceMs` milliseconds; then nobody new is
   * let in, new requests are refused, and those under way are answered. Once: asked again it is the same draining,
   * which a shorter grace shortens.
   * @returns how many requests were not answered within two seconds
   */
  drain(graceMs: number): Promise<number>;
  /** Drains, tells the peers, makes everything durable and ends. */
  stop(): Promise<void>;
}

/** What takes a node apart again, step by step, the last first. */
type Undo = (() => unknown)[];

/** Starts a node. @throws StartError. What was begun is undone first. */
export async function startNode(config: NodeConfig, options: NodeProcessOptions): Promise<NodeProcess> {
  for (let attempt = 1; ; attempt++) {
    const undo: Undo = [];
    try {
      return await assemble(config, options, undo);
    } catch (error) {
      for (const step of undo.reverse()) await Promise.resolve(step()).catch(() => {});
      if (error instanceof StartError || !(error instanceof CodedError)) throw asStartError(error, config);
      // A database that does not open, or whose own notes cannot be read; or one that failed meanwhile and
      // says at the next opening what is the matter.
      const isDamaged = error.code === 'corrupt';
      const replicas = replicasBefore(config, hasOwnDirectory(config, options));
      const mayRetry = replicas > 1 && attempt < attemptsMax;
      if (isDamaged && mayRetry) await moveAside(config, options.log, error.message);
      else if (isDamaged) throw new StartError(EXIT.storageLost, damageWords(config, error.message));
      else if (error.code !== 'storage-failed' || !mayRetry) throw asStartError(error, config);
    }
  }
}

async function assemble(config: NodeConfig, options: NodeProcessOptions, undo: Undo): Promise<NodeProcess> {
  const { log, isEmbedded = false } = options;
  const clock = new SystemClock();
  const random = new SecureRandom();
  tuneProcess(isEmbedded);
  const hasDirectory = hasOwnDirectory(config, options);
  if (hasDirectory) undo.push(await lock(config));
  const { promise: failed, resolve: fail } = Promise.withResolvers<string>();
  const storage = await openStorage(config, options, clock, random, fail);
  undo.push(() => closed(storage));
  const topology = await findTopology({ config, storage, log, hasDirectory });
  const doors = await loadDoors(config);
  const driver = makeDriver(config, clock);
  const tcp = makeTransport(config, topology, clock, random, log);
  const ports = { clock, random, transport: tcp ?? LONE_TRANSPORT, storage, log, turn: driver };
  const node = new Node(nodeOptions(config, topology), ports);
  driver.start(node);
  undo.push(() => driver.stop());
  await startAmongPeers(node, tcp, config, undo);
  let fault: string | undefined = 'the node is starting';
  const stopNode = async (): Promise<void> => {
    node.stop();
    if (tcp !== undefined) await delay(lingerMs);
  };
  let opened: Doors | undefined;
  const drained: Drained = {
    say: (words) => {
      fault = words;
    },
    shut: () => opened?.shut(),
    refuse: () => {
      node.drain();
      opened?.refuse();
    },
    waiting: () => node.figures().requestsInFlight,
  };
  const draining = new Drain(drained, log);
  const drain = (graceMs: number): Promise<number> => draining.run(graceMs);
  if (doors !== undefined) {
    const house = { node, driver, log, random, fault: () => fault, drain };
    opened = await doors.openDoors(config, house, stopNode, undo);
  } else undo.push(stopNode);
  fault = undefined;
  let hasFailed = false;
  failed.then(() => {
    hasFailed = true;
  });
  const following = followTopology(config, node, log, hasDirectory);
  following.departed.then(() => {
    fault = 'the node is no member of its cluster any more';
  });
  undo.push(() => following.stop());
  tellReady(config, log, storage.engine, hasDirectory ? dataFormat(config) : undefined);
  return {
    node,
    failed,
    departed: following.departed,
    linked: (timeoutMs) => linkedWithin(timeoutMs, node),
    drain,
    async stop() {
      // Without its storage nothing that is under way comes to an end.
      if (!hasFailed) await drain(config.limits.drainGraceMs);
      fault = 'the node is stopping';
      await takeApart(undo);
    },
  };
}

function makeDriver({ limits }: NodeConfig, clock: SystemClock): NodeDriver {
  const quietTickMs = Math.min(quietTickMaxMs, limits.heartbeatIntervalMs / quietTicksPerBeat);
  return new NodeDriver({ clock, quietTickMs });
}

/**
 * The code of the doors, for a node that has any. To load it keeps the process busy for as long as a second on a machine
 * that has much else to do. So that is done before the peers may talk to it: they take a node that does not answer for
 * dead.
 */
async function loadDoors({ self }: NodeConfig): Promise<typeof import('./doors.ts') | undefined> {
  return self.respPort > 0 || self.httpPort > 0 ? import('./doors.ts') : undefined;
}

/** The node's start is done when the other members were heard, so the pipes to them are opened meanwhile. */
async function startAmongPeers(
  node: Node,
  tcp: TcpTransport | undefined,
  config: NodeConfig,
  undo: Undo,
): Promise<void> {
  const started = completed((done) => node.start(done));
  started.catch(() => {});
  if (tcp !== undefined) {
    await completed((done) => tcp.start(node, done)).catch((error: NodeJS.ErrnoException) => {
      throw portError(error, config, 'peerPort');
    });
    undo.push(() => new Promise<void>((resolve) => tcp.close(resolve)));
  }
  await started.catch((error: unknown) => {
    throw node.topology.has(config.nodeId) ? error : notMember(config, node.topology);
  });
}

/** Waits until every member can be reached, at most so long. @returns whether they can. */
async function linkedWithin(timeoutMs: number, node: Node): Promise<boolean> {
  const isLinked = (): boolean => node.members().every(({ live }) => live);
  const deadline = node.monotonic() + timeoutMs;
  while (!isLinked() && node.monotonic() < deadline) await delay(linkedPollMs);
  return isLinked();
}

/** Takes down what was set up, the last first. @throws the first error of a step. */
async function takeApart(undo: Undo): Promise<void> {
  // Whatever one step says, the others are done: a storage that failed must not keep the lock.
  let failure: unknown;
  for (const step of undo.reverse()) {
    try {
      await step();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}

/**
 * Frames, rows and chunks are short-lived memory outside the heap. A small young generation is swept often and
 * frees them early; a large one lets them pile up until V8 collects the whole heap instead, several times a second
 * (measured on a replicated SET: a tenth of the processor time).
 */
function tuneProcess(isEmbedded: boolean): void {
  accelerateCrc32((bytes, seed) => crc32(bytes, seed));
  if (!isEmbedded) setFlagsFromString('--semi-space-growth-factor=1');
}

/** The pipes to the peers; none for a node that is alone and was given no port for them. */
function makeTransport(
  config: NodeConfig,
  topology: Topology | undefined,
  clock: SystemClock,
  random: Random,
  log: Log,
): TcpTransport | undefined {
  const { nodeId, clusterName, bind, self } = config;
  const { members } = topology ?? config;
  if (self.peerPort === 0) return undefined;
  return new TcpTransport({
    nodeId,
    clusterName,
    members,
    bind: { host: bind, port: self.peerPort },
    life: random.u32(),
    clock,
    random,
    epoch: topology?.epoch,
    protocolVersionMax: config.protocolVersionMax,
    log,
  });
}

function tellReady(config: NodeConfig, log: Log, engine: string, format: number | undefined): void {
  const { respPort, peerPort, httpPort } = config.self;
  const address = (port: number): string | undefined => (port > 0 ? `${config.bind}:${port}` : undefined);
  log.write('info', 'node-ready', {
    resp: address(respPort),
    peer: address(peerPort),
    http: address(httpPort),
    engine,
    durability: config.storage.durability,
    version: VERSION,
    dataFormat: format,
    pid: process.pid,
  });
}

async function lock(config: NodeConfig): Promise<() => void> {
  let release: () => void;
  try {
    release = await lockDirectoryPatiently(config.dataDir);
  } catch (error) {
    if (!(error instanceof LockedError)) throw error;
    throw new StartError(
      EXIT.failed,
      `${error.message}. Two nodes must not share a data directory: stop that process, or set another dataDir.`,
    );
  }
  try {
    checkIdentity(config);
    return release;
  } catch (error) {
    release();
    throw error;
  }
}

/** An embedded node that keeps its rows in memory touches no directory. */
function hasOwnDirectory(config: NodeConfig, { isEmbedded = false }: NodeProcessOptions): boolean {
  return !isEmbedded || config.storage.engine !== 'memory';
}

async function openStorage(
  config: NodeConfig,
  options: NodeProcessOptions,
  clock: SystemClock,
  random: Random,
  onFail: (failure: string) => void,
): Promise<Storage> {
  if (options.openStorage !== undefined) return options.openStorage(onFail);
  const { engine, memoryBytesMax, evictionPolicy } = config.storage;
  if (engine === 'memory') return new MemoryStorage({ clock, random, memoryBytesMax, evictionPolicy });
  const { syncIntervalMs, cacheBytes, writeBufferBytes, hotBytesMax } = config.storage;
  const replaceable = replicasBefore(config, hasOwnDirectory(config, options)) > 1;
  const opened = await ClassicLevelStorage.open(config.dataDir, {
    clock,
    log: options.log,
    syncIntervalMs,
    cacheBytes,
    writeBufferBytes,
    hotBytesMax,
    replaceable,
    onFail,
  });
  // With other replicas the node writes under a new actor and is made whole from them, by itself.
  if (opened.loss === undefined || replaceable) return opened.storage;
  if (!opened.lost) {
    options.log.write('warn', 'storage-loss-possible', { loss: opened.loss });
    await opened.storage.lossRepaired();
  } else if (options.acceptStorageLoss) {
    options.log.write('alarm', 'storage-loss-accepted', { loss: opened.loss });
  } else {
    await closed(opened.storage);
    throw new StartError(EXIT.storageLost, lossWords(config, opened.loss));
  }
  return opened.storage;
}

/** A database that cannot be used: it is kept, and an empty one takes its place. */
async function moveAside(config: NodeConfig, log: Log, damage: string): Promise<void> {
  const stamp = new Date().toISOString().replace(/[:.]/g, '-');
  const keptIn = await setAside(config.dataDir, stamp, damage);
  log.write('alarm', 'storage-set-aside', {
    damage,
    keptIn,
    meaning:
      'the database could not be used: it is kept, and this node starts empty and is made whole from the ' +
      'other replicas; delete what was kept when you have looked at it',
  });
}

function damageWords(config: NodeConfig, damage: string): string {
  return [
    `${damage}.`,
    'No other replica holds these rows, so the node does not start with an empty database by itself. You can',
    `  - put a copy of ${config.dataDir} back, if there is one;`,
    `  - move ${config.dataDir} away and start empty.`,
  ].join('\n');
}

function lossWords(config: NodeConfig, loss: string): string {
  return [
    `The storage in ${config.dataDir} has lost data it had promised to keep: ${loss}.`,
    'A disk, a file system or a power failure did this, or files were changed by hand.',
    'No other replica holds these rows, so the node does not go on by itself without them. You can',
    `  - put a copy of ${config.dataDir} back, if there is one;`,
    '  - start once with --accept-storage-loss to go on with what is left.',
  ].join('\n');
}

function nodeOptions(
  config: NodeConfig,
  topology: Topology | undefined,
): ConstructorParameters<typeof Node>[0] {
  const { limits, members } = config;
  // With fewer members than N, an R or W beyond them asks for all of them: the policy stays as the cluster grows.
  const n = topology?.read.replicaCount ?? config.replicas;
  return {
    id: config.nodeId,
    clusterName: config.clusterName,
    members,
    table: place(undefined, members, { partitionCount: config.partitions, replicaCount: config.replicas }),
    ...(topology === undefined ? {} : { topology }),
    policies: policyTableOf(config, n),
    durability: config.storage.durability,
    limits: {
      pairBytesMax: limits.pairBytesMax,
      siblingsMax: limits.siblingsMax,
      requestsMax: limits.requestsMax,
      requestTimeoutMs: limits.requestTimeoutMs,
      clockOffsetMaxMs: limits.clockOffsetMaxMs,
      heartbeatIntervalMs: limits.heartbeatIntervalMs,
      silenceMaxMs: limits.silenceMaxMs,
      hedgeShareMax: limits.hedgeShareMax,
      hintBytesMax: limits.hintBytesMax,
      handoffBytesPerSecond: limits.handoffBytesPerSecond,
      moveBytesPerSecond: limits.moveBytesPerSecond,
      repairIntervalMs: limits.repairIntervalMs,
      repairShareMax: limits.repairShareMax,
      horizonIntervalMs: limits.horizonIntervalMs,
      horizonMarginMs: limits.horizonMarginMs,
      horizonAlarmMs: limits.horizonAlarmMs,
    },
    updates: UPDATES,
  };
}

/** A call with a `done` as a promise. */
function completed(call: (done: (error?: Error) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => call((error) => (error === undefined ? resolve() : reject(error))));
}

function closed(storage: Storage): Promise<void> {
  return completed((done) => storage.close(done));
}

function asStartError(error: unknown, config: NodeConfig): Error {
  if (error instanceof StartError) return error;
  if (error instanceof CodedError) {
    return new StartError(EXIT.failed, `The storage in ${config.dataDir} cannot be used: ${error.message}`);
  }
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EROFS' || code === 'ENOSPC' || code === 'ENOTDIR') {
    return new StartError(EXIT.failed, `${config.dataDir} cannot be written: ${message}`);
  }
  return error as Error;
}
