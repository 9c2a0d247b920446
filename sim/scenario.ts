/**
 * Scenarios: small stories about a cluster, as text a person can read (after etcd-io/raft's
 * interaction tests). They run on the simulated cluster, so a story always goes the same way.
 *
 * ```
 * nodes 3                         # the cluster, before anything happens: nodes, n, r, w, strict,
 * w 2                             # durability always, timeout 500, clock b -200, hints off,
 *                                 # repair 500ms (never, if left out), horizon 300ms (likewise);
 *                                 # spares 2 (machines that may join), zones 3 (node by node),
 *                                 # news (a process that starts asks the others about the members)
 * write k v1 at a -> ok           # a request, and what it must answer: ok, fail, unknown, error
 * put k v1 at a                   # the same under policy siblings: get k at b -> v1+v2, remove k at c;
 *                                 # get … keep c1 keeps the context, put … with c1 and remove … with c1 use it
 * begin write k v2 at a as second # a request that is not waited for …
 * await second -> unknown         # … until here
 * join d at a -> ok               # begun; leave c at a, remove b c at a (lost for good: they are switched off),
 *                                 # replace c by d at a, weight b 2 at a, cancel at a
 * lose c                          # switched off for good; tell c: it asks the others about the members
 * cut a b                         # cut a > b, mend a b, isolate c, heal
 * drop a > b 30                   # percent of frames; double, reorder; delay a b 200 (milliseconds);
 *                                 # 0 ends it. break a > b, half-open a > b, corrupt a > b 3 (frames)
 * crash c                         # power c, torn c, wipe c, stop c, freeze c; start c, thaw c
 * copy c                          # a copy of its disk; restore c puts it back
 * rot c k 77                      # flips bit 77 of the row of k on its disk; rot d k 77 for c: of its hint
 * busy c 5ms                      # each input takes c so long; busy c 0ms ends it
 * read k at b r=1 -> v1           # nothing, error, or the value
 * disk c full                     # full, ok, slow 50, error
 * advance 2s                      # time passes: ms or s
 * expect c holds k v1             # what is on the disk: a value, v1+v2, nothing, tombstone, damaged
 * expect c forgot k               # nothing is on its disk: no tombstone either
 * expect a hedges 1               # a figure of the node is at least so much
 * expect replicas equal           # the replicas of every key hold the same (also: roots equal)
 * expect hints 0                  # hints on all disks together; expect a hints 2 for one
 * expect a sees b                 # a takes b for alive; expect a misses b
 * expect steady                   # all run and know the latest epoch, no change is under way, no row is astray
 * expect epoch 4                  # all processes know it; expect phase copy, expect members a+b+d
 * expect a owns k                 # by the latest epoch; expect a disowns k, expect c gone
 * within 3s c holds k v1          # the same expectations, and time for them to come true
 * ```
 */

import { byteString, bytesOf, equalBytes } from '../src/base/bytes.ts';
import type { CodedError } from '../src/base/errors.ts';
import { versionsOf } from '../src/causality/version-set.ts';
import { PolicyTable } from '../src/coordinator/policy.ts';
import { hintKey } from '../src/hints/hint-keys.ts';
import type { RequestOptions } from '../src/node/api.ts';
import { NODE_LIMITS_DEFAULT } from '../src/node/options.ts';
import { slotOf } from '../src/ring/slots.ts';
import type { Table } from '../src/ring/table.ts';
import { META_PREFIX, rowKeyOf } from '../src/rows/key.ts';
import {
  BODY_TOMBSTONE,
  isRowIntact,
  isTombstone,
  KIND_STRING,
  rowValue,
  STAMP_NONE,
} from '../src/rows/row.ts';
import { isSiblingsRow, versionsOfRow } from '../src/rows/siblings.ts';
import { Cluster, type Machine, type SimulatedNode } from './cluster.ts';
import { DISK_PROFILE_CALM, type DiskSnapshot } from './disk.ts';
import { inspectHints, inspectHorizon, isGone } from './inspection.ts';
import { NODE_FACTORY, simMembers, simTable } from './run.ts';
import { ScenarioMembers } from './scenario-members.ts';
import {
  answerOnce,
  durationMs,
  LINK_ACTS,
  ScenarioError,
  type StoryRequest,
  takeAfter,
  wrongCount,
} from './scenario-words.ts';
import { Schedule } from './schedule.ts';
import { Trace, type TraceSink } from './trace.ts';
import { SIM_UPDATES } from './workload.ts';

export { ScenarioError } from './scenario-words.ts';

/** Runs a story. @throws ScenarioError with the line it failed at. */
export function runScenario(text: string, sink?: TraceSink, mutants: ReadonlySet<string> = new Set()): void {
  const story = new Story(sink, mutants);
  text.split('\n').forEach((raw, index) => {
    const line = raw.replace(/#.*$/, '').trim();
    if (line === '') return;
    try {
      story.tell(line);
    } catch (error) {
      throw new ScenarioError(
        `line ${index + 1}: ${line}\n${error instanceof Error ? error.message : error}`,
      );
    }
  });
}

/** Requests under policy `siblings`. */
const SIBLING_VERBS: ReadonlySet<string> = new Set(['put', 'get', 'remove']);

/** A request is waited for this long, virtual milliseconds. */
const patienceMs = 10_000;

class Story {
  readonly #sink: TraceSink | undefined;
  readonly #mutants: ReadonlySet<string>;
  readonly #schedule = new Schedule();
  readonly #settings = {
    nodes: 3,
    spares: 0,
    zones: 1,
    news: false,
    n: 0,
    r: 0,
    w: 0,
    strict: false,
    durability: 'interval',
    timeout: 1000,
  };
  readonly #limits = {
    repairIntervalMs: 3_600_000,
    horizonIntervalMs: 3_600_000,
    horizonMarginMs: 1000,
    hintBytesMax: 1_000_000,
  };
  readonly #skews = new Map<string, number>();
  readonly #requests = new Map<string, StoryRequest>();
  readonly #contexts = new Map<string, Uint8Array>();
  readonly #copies = new Map<Machine, DiskSnapshot>();
  readonly #keys = new Set<string>();
  #cluster: Cluster | undefined;
  #members: ScenarioMembers | undefined;

  constructor(sink: TraceSink | undefined, mutants: ReadonlySet<string>) {
    this.#sink = sink;
    this.#mutants = mutants;
  }

  tell(line: string): void {
    if (this.#cluster === undefined && this.#setUp(line)) return;
    this.#cluster ??= this.#found();
    const [action, expected] = line.split('->').map((part) => part.trim());
    const words = action!.split(/\s+/);
    if (words[0] === 'begin') {
      const at = words.lastIndexOf('as');
      this.#requests.set(words[at + 1]!, this.#request(words.slice(1, at)));
    } else if (words[0] === 'await') {
      this.#check(this.#requests.get(words[1]!), expected);
    } else if (expected !== undefined) {
      this.#check(this.#request(words), expected);
    } else {
      this.#act(words);
    }
    this.#checkFaults();
  }

  /** A setting of the cluster; false if the line is none. */
  #setUp(line: string): boolean {
    const [name, value, more] = line.split(/\s+/);
    if (name === 'strict' || name === 'news') this.#settings[name] = true;
    else if (name === 'durability') this.#settings.durability = value!;
    else if (name === 'hints') this.#limits.hintBytesMax = value === 'off' ? 1 : Number(value);
    else if (name === 'repair') this.#limits.repairIntervalMs = durationMs(value);
    else if (name === 'horizon') this.#limits.horizonIntervalMs = durationMs(value);
    else if (name === 'clock') this.#skews.set(value!, Number(more));
    else {
      const numbers = ['nodes', 'spares', 'zones', 'n', 'r', 'w', 'timeout'] as const;
      const known = numbers.find((one) => one === name);
      if (known === undefined) return false;
      this.#settings[known] = Number(value);
    }
    return true;
  }

  #found(): Cluster {
    const { nodes, spares, zones, news, strict, timeout, durability } = this.#settings;
    const n = this.#settings.n || Math.min(nodes, 3);
    const majority = Math.floor(n / 2) + 1;
    const policy = { r: this.#settings.r || majority, w: this.#settings.w || majority, strict };
    const members = simMembers(nodes + spares, zones);
    const table = simTable(nodes, n, zones);
    const config = {
      seed: 1,
      founders: nodes,
      ids: members.map((member) => member.id),
      clocks: members.map(({ id }) => ({ skewMs: this.#skews.get(id) ?? 0, driftPpm: 0 })),
      network: { delayMinUs: 200, delayMeanUs: 100, tailShare: 0, delayTailUs: 0, queueFramesMax: 10_000 },
      disk: DISK_PROFILE_CALM,
      optionsOf: (index: number) => ({
        id: members[index]!.id,
        clusterName: 'scenario',
        members: members.slice(0, nodes),
        table,
        policies: new PolicyTable(policy, [], n),
        durability: durability === 'always' ? ('always' as const) : ('interval' as const),
        limits: { ...NODE_LIMITS_DEFAULT, ...this.#limits, requestTimeoutMs: timeout },
        updates: SIM_UPDATES,
        mutants: this.#mutants,
      }),
      tickUs: 5000,
      turnUs: 0,
    };
    const cluster = new Cluster(this.#schedule, new Trace(this.#sink), config, NODE_FACTORY);
    this.#members = new ScenarioMembers(this.#schedule, cluster, members, table, news);
    for (const machine of cluster.present) cluster.start(machine.index);
    this.#advance(500);
    return cluster;
  }

  #advance(ms: number): void {
    this.#schedule.runUntil(this.#schedule.now + ms * 1000);
  }

  #machine(id: string | undefined): Machine {
    const machine = this.#cluster!.machines.find((one) => one.id === id);
    if (machine === undefined) throw new ScenarioError(`there is no node ${id}`);
    return machine;
  }

  /** Sends a request: `write k v at a`, `read k at b r=1`, `flush at c`, … */
  #request(words: readonly string[]): StoryRequest {
    const at = words.indexOf('at');
    if (at < 0) throw new ScenarioError('a request says "at" which node it is sent');
    const machine = this.#machine(words[at + 1]);
    if (!machine.up) throw new ScenarioError(`${machine.id} is down`);
    if (this.#members!.isRequest(words)) return this.#members!.ask(words, machine);
    const request: StoryRequest = { answer: undefined };
    const rest = words.slice(at + 2);
    const keep = takeAfter(rest, 'keep');
    const context = takeAfter(rest, 'with');
    const options = this.#optionsOf(rest, context);
    if (SIBLING_VERBS.has(words[0]!)) {
      this.#cluster!.input(machine, (node) =>
        this.#sendSiblings(node, words.slice(0, at), options, keep, request),
      );
    } else {
      this.#cluster!.input(machine, (node) => this.#send(node, words.slice(0, at), options, request));
    }
    return request;
  }

  /** A request under policy `siblings`. */
  #sendSiblings(
    node: SimulatedNode,
    [verb, key = '', value = '']: readonly string[],
    given: RequestOptions,
    keep: string | undefined,
    request: StoryRequest,
  ): void {
    this.#keys.add(key);
    const policy = { ...(given.policy ?? node.policyOf(key)), conflicts: 'siblings' as const };
    const options: RequestOptions = { ...given, policy };
    const wrote = (error: CodedError | undefined): void => answerOnce(request, error, 'ok');
    if (verb === 'put') {
      node.write(key, { kind: KIND_STRING, value: bytesOf(value), expireAt: 0 }, options, wrote);
    } else if (verb === 'remove') node.write(key, BODY_TOMBSTONE, options, wrote);
    else {
      node.readVersions(key, options, (error, read) => {
        const values = (read?.versions ?? []).map((version) => byteString(version.value)).sort();
        if (read !== undefined && keep !== undefined) this.#contexts.set(keep, read.context);
        answerOnce(request, error, values.join('+') || 'nothing');
      });
    }
  }

  #send(node: SimulatedNode, words: readonly string[], options: RequestOptions, request: StoryRequest): void {
    const [verb, key = '', value = ''] = words;
    if (key !== '') this.#keys.add(key);
    const done = (error: CodedError | undefined, answer: string) => answerOnce(request, error, answer);
    const wrote = (error: CodedError | undefined) => done(error, 'ok');
    switch (verb) {
      case 'write':
        node.write(key, { kind: KIND_STRING, value: bytesOf(value), expireAt: 0 }, options, wrote);
        break;
      case 'delete':
        node.write(key, BODY_TOMBSTONE, options, wrote);
        break;
      case 'read':
        node.read(key, options, (error, row) => done(error, row ? byteString(rowValue(row)) : 'nothing'));
        break;
      case 'setnx':
      case 'incr':
        node.update(key, `sim-${verb}`, [bytesOf(value)], options, (error, reply) =>
          done(error, String(reply)),
        );
        break;
      case 'flush':
        node.flush(options, wrote);
        break;
      case 'count':
        node.count(0, 16_384, options, (error, count) => done(error, String(count)));
        break;
      default:
        throw new ScenarioError(`there is no request ${verb}`);
    }
  }

  /** `r=1`, `w=3`, `timeout=200` after the node override the policy for this request. */
  #optionsOf(words: readonly string[], named: string | undefined): RequestOptions {
    const context = named === undefined ? undefined : this.#contexts.get(named);
    if (named !== undefined && context === undefined)
      throw new ScenarioError(`no context was kept as ${named}`);
    const given = new Map(words.map((word) => word.split('=') as [string, string]));
    const fallback = this.#cluster!.machines.find((machine) => machine.node)!.node!.policyOf('');
    const policy = {
      r: Number(given.get('r') ?? fallback.r),
      w: Number(given.get('w') ?? fallback.w),
      strict: fallback.strict,
    };
    const timeout = given.get('timeout');
    return {
      ...(given.has('r') || given.has('w') ? { policy } : {}),
      ...(timeout === undefined ? {} : { timeoutMs: Number(timeout) }),
      ...(context === undefined ? {} : { context }),
    };
  }

  #check(request: StoryRequest | undefined, expected: string | undefined): void {
    if (request === undefined) throw new ScenarioError('no request of that name was begun');
    const deadline = this.#schedule.now + patienceMs * 1000;
    while (request.answer === undefined && this.#schedule.now < deadline) this.#advance(1);
    if (request.answer !== expected) {
      throw new ScenarioError(`expected ${expected}, answered ${request.answer ?? 'nothing at all'}`);
    }
  }

  #act(words: readonly string[]): void {
    const [verb, first, second, third] = words;
    if (verb === 'advance') this.#advance(durationMs(first));
    else if (verb === 'heal') this.#heal();
    else if (verb === 'expect') this.#expect(words.slice(1));
    else if (verb === 'within') this.#within(durationMs(first), words.slice(2));
    else if (verb === 'disk') this.#disk(this.#machine(first), second, third);
    else if (verb === 'clock') this.#machine(first).clock.setSkew(Number(second));
    else if (verb === 'lose') this.#members!.lose(first);
    else if (verb === 'tell') this.#members!.tell(this.#machine(first));
    else if (verb === 'isolate') this.#isolate(this.#machine(first));
    else if (verb === 'rot') this.#rot(this.#machine(first), words);
    else if (verb === 'busy') this.#cluster!.slowCpu(this.#machine(first).index, durationMs(second) * 1000);
    else if (LINK_ACTS.has(verb!)) this.#link(verb!, words.slice(1));
    else this.#process(verb, this.#machine(first));
  }

  #process(verb: string | undefined, machine: Machine): void {
    const cluster = this.#cluster!;
    const { index } = machine;
    const acts: Record<string, () => void> = {
      start: () => cluster.start(index),
      crash: () => cluster.crash(index),
      power: () => cluster.losePower(index),
      torn: () => cluster.losePower(index, true),
      wipe: () => cluster.wipe(index),
      copy: () => void this.#copies.set(machine, machine.disk.snapshot()),
      restore: () => {
        const copy = this.#copies.get(machine);
        if (copy === undefined) throw new ScenarioError(`no copy of the disk of ${machine.id} was made`);
        cluster.restore(index, copy);
      },
      stop: () => cluster.stop(index),
      freeze: () => cluster.freeze(index),
      thaw: () => cluster.thaw(index),
    };
    const act = acts[verb ?? ''];
    if (act === undefined) throw new ScenarioError(`there is no action ${verb}`);
    act();
  }

  /** `cut a b` both ways, `cut a > b` one way; `slow a > b 50`, `drop a b 30`. */
  #link(verb: string, words: readonly string[]): void {
    const oneWay = words[1] === '>';
    const a = this.#machine(words[0]).index;
    const b = this.#machine(words[oneWay ? 2 : 1]).index;
    const amount = Number(words[oneWay ? 3 : 2] ?? 1);
    if (Number.isNaN(amount)) throw new ScenarioError(`${words.at(-1)} is no number`);
    this.#direction(verb, a, b, amount);
    if (!oneWay) this.#direction(verb, b, a, amount);
  }

  #direction(verb: string, from: number, to: number, amount: number): void {
    LINK_ACTS.get(verb)!(this.#cluster!.network, from, to, amount);
  }

  #isolate(machine: Machine): void {
    for (const other of this.#cluster!.machines) {
      if (other !== machine) this.#link('cut', [machine.id, other.id]);
    }
  }

  #heal(): void {
    this.#cluster!.network.healAll();
    for (const machine of this.#cluster!.machines) {
      this.#disk(machine, 'ok', undefined);
      this.#cluster!.thaw(machine.index);
      this.#cluster!.start(machine.index);
    }
    this.#advance(1500);
  }

  #disk({ disk }: Machine, state: string | undefined, factor: string | undefined): void {
    if (state === 'full') disk.full = true;
    else if (state === 'error') disk.failNext = 1;
    else if (state === 'slow') disk.slowFactor = Number(factor);
    else if (state === 'ok') {
      disk.full = false;
      disk.failNext = 0;
      disk.slowFactor = 1;
    } else throw new ScenarioError(`a disk is full, ok, slow or error, not ${state}`);
  }

  #rot({ id, disk }: Machine, [, , key, bit, , target]: readonly string[]): void {
    const rowKey = rowKeyOf(key ?? '');
    const at = target === undefined ? rowKey : hintKey(target, rowKey);
    if (!disk.rot(at, Number(bit ?? 0))) throw new ScenarioError(`${id} holds no ${key}`);
  }

  /** Tries an expectation every 10 ms, until it holds or the time is over. */
  #within(ms: number, words: readonly string[]): void {
    const deadline = this.#schedule.now + ms * 1000;
    for (;;) {
      const wrong = this.#contradiction(words);
      if (wrong === undefined) return;
      if (this.#schedule.now >= deadline) throw new ScenarioError(wrong);
      this.#advance(10);
    }
  }

  #expect(words: readonly string[]): void {
    const wrong = this.#contradiction(words);
    if (wrong !== undefined) throw new ScenarioError(wrong);
  }

  /** What speaks against `c holds k v1`, `a hedges 1`, `replicas equal`; undefined if nothing does. */
  #contradiction(words: readonly string[]): string | undefined {
    const [first, verb, third, fourth] = words;
    if ((first === 'replicas' || first === 'roots') && verb === 'equal') return this.#difference();
    if (first === 'hints') return wrongCount('hints', this.#cluster!.machines.map(inspectHints), verb);
    const ofMembers = this.#members!.contradiction(words);
    if (ofMembers !== null) return ofMembers;
    const machine = this.#machine(first);
    if (verb === 'hints') return wrongCount(`hints at ${first}`, [inspectHints(machine)], third);
    if (verb === 'sees' || verb === 'misses') {
      const live = machine.node?.members().find(({ id }) => id === third)?.live;
      return live === (verb === 'sees') ? undefined : `${first} ${live ? 'sees' : 'misses'} ${third}`;
    }
    if (verb === 'forgot') {
      const row = machine.disk.peek(rowKeyOf(third!));
      return row === undefined
        ? undefined
        : `${machine.id} still has a row of ${third}, ${this.#held(machine, third!)}`;
    }
    if (verb === 'holds') {
      const held = this.#held(machine, third!);
      return held === fourth ? undefined : `${machine.id} holds ${held}`;
    }
    const figures = machine.node?.figures() as unknown as Record<string, unknown> | undefined;
    const figure = figures?.[verb!];
    if (typeof figure !== 'number') throw new ScenarioError(`there is no figure ${verb}`);
    return figure < Number(third) ? `${verb} of ${machine.id} is ${figure}` : undefined;
  }

  /** A key whose replicas hold different things, and what they hold. */
  #difference(): string | undefined {
    for (const key of this.#keys) {
      const held = this.#table.preferenceList(slotOf(key)).map((id) => {
        const machine = this.#machine(id);
        return { id, held: this.#held(machine, key), row: machine.disk.peek(rowKeyOf(key)) };
      });
      // A row that is gone by a flush is as good as none.
      const same = (a: (typeof held)[number], b: (typeof held)[number]) =>
        a.held === b.held && (a.held === 'nothing' || equalBytes(a.row!, b.row!));
      if (held.every((one) => same(one, held[0]!))) continue;
      return `the replicas of ${key} differ: ${held.map((one) => `${one.id} ${one.held}`).join(', ')}`;
    }
    return undefined;
  }

  #held(machine: Machine, key: string): string {
    const { disk } = machine;
    const row = disk.peek(rowKeyOf(key));
    if (row === undefined) return 'nothing';
    if (!isRowIntact(rowKeyOf(key), row)) return 'damaged';
    // What a flush or the horizon declared gone may lie there for a while.
    const horizonMs = inspectHorizon(machine, this.#table.partitionOfSlot(slotOf(key)));
    if (isGone(row, disk.peek(`${META_PREFIX}floor`) ?? STAMP_NONE, horizonMs)) return 'nothing';
    if (isTombstone(row)) return 'tombstone';
    if (!isSiblingsRow(row)) return byteString(rowValue(row));
    const values = versionsOf(versionsOfRow(row)).map(({ value }) => byteString(value.value));
    return values.sort().join('+');
  }

  get #table(): Table {
    return this.#members!.table;
  }

  #checkFaults(): void {
    const fault = this.#cluster?.faults[0];
    if (fault !== undefined) throw new ScenarioError(fault);
  }
}
