/**
 * Membership while the list of members changes: processes that come and go, each with the list it knows just now,
 * on a network that delays and loses. Whatever the order, those who live are never taken for dead, all end with
 * the same list, and who was dropped stays dropped.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { copyEntry, Entry, incarnationOfStart, STATUS_DOWN } from '../../src/membership/entry.ts';
import { Membership } from '../../src/membership/membership.ts';
import { membershipTimes } from '../../src/membership/times.ts';

const tickMs = 25;
const times = membershipTimes(200, 1000);
/** A process learns of a new list within this time, milliseconds. */
const lagMs = 3000;

type Adopt = (process: Process, members: readonly string[], now: number) => void;

class Process {
  readonly id: string;
  core: Membership;
  members: readonly string[];
  /** The list it is to know, and from when on. */
  next: { readonly members: readonly string[]; readonly at: number }[] = [];

  constructor(id: string, members: readonly string[], core: Membership) {
    this.id = id;
    this.members = members;
    this.core = core;
  }

  idOf(number: number): string {
    return this.core.list.book.ids[number]!;
  }

  numberOf(id: string): number {
    return this.core.list.book.numberOf(id) ?? -1;
  }
}

interface Letter {
  readonly at: number;
  readonly from: string;
  /** The process that sent it: with it its pipes end. */
  readonly sender: Process;
  readonly to: string;
  readonly kind: 'ping' | 'pong' | 'request' | 'confirm';
  /** About whom. */
  readonly target: string;
  readonly bytes: Uint8Array;
}

/** The processes and the letters between them. */
class World {
  now = 0;
  readonly processes: Map<string, Process> = new Map();
  members: readonly string[];
  readonly #random: Prng;
  readonly #loss: number;
  readonly #adopt: Adopt;
  #letters: Letter[] = [];
  readonly #starts: Map<string, number> = new Map();

  constructor(seed: number, loss: number, members: readonly string[], adopt: Adopt) {
    this.#random = new Prng(seed);
    this.#loss = loss;
    this.#adopt = adopt;
    this.members = members;
    for (const id of members) this.start(id);
  }

  start(id: string): void {
    const starts = (this.#starts.get(id) ?? 0) + 1;
    this.#starts.set(id, starts);
    const process = new Process(id, this.members, undefined as unknown as Membership);
    const random = new Prng(this.#random.u32());
    const incarnation = incarnationOfStart(starts * 0x1_0000);
    process.core = new Membership(
      { self: id, members: this.members, incarnation, times, random },
      {
        ping: (peer) => this.#gossip('ping', process, process.idOf(peer)),
        pingRequest: (via, target) =>
          this.#send('request', process, process.idOf(via), process.idOf(target), new Uint8Array()),
        confirm: (asker, target) =>
          this.#send('confirm', process, process.idOf(asker), process.idOf(target), new Uint8Array()),
        changed: () => {},
        refuted: () => {},
      },
      this.now,
    );
    this.processes.set(id, process);
  }

  #gossip(kind: 'ping' | 'pong', from: Process, to: string): void {
    const writer = new ByteWriter();
    from.core.writeGossip(writer, from.numberOf(to));
    this.#send(kind, from, to, '', writer.take());
  }

  #send(kind: Letter['kind'], sender: Process, to: string, target: string, bytes: Uint8Array): void {
    if (this.#random.chance(this.#loss)) return;
    const at = this.now + this.#random.between(1, 80);
    this.#letters.push({ at, from: sender.id, sender, to, kind, target, bytes });
  }

  /** Another list: somebody knows it at once, the others within `lagMs`; newcomers are started with it. */
  change(members: readonly string[]): void {
    const before = this.members;
    this.members = members;
    for (const id of members) if (!before.includes(id)) this.start(id);
    const first = this.#random.pick(before.filter((id) => members.includes(id)));
    for (const id of members) {
      if (!before.includes(id)) continue;
      const at = id === first ? this.now : this.now + this.#random.below(lagMs);
      const { next } = this.processes.get(id)!;
      // A list that is older than another one is not taken any more.
      next.push({ members, at: Math.max(at, next.at(-1)?.at ?? 0) });
    }
  }

  run(forMs: number): void {
    for (const end = this.now + forMs; this.now < end; this.now += tickMs) {
      for (const process of this.processes.values()) {
        for (const { members, at } of process.next) if (at <= this.now) this.#learn(process, members);
        process.next = process.next.filter(({ at }) => at > this.now);
        process.core.tick(this.now);
      }
      const due = this.#letters.filter(({ at }) => at <= this.now);
      this.#letters = this.#letters.filter(({ at }) => at > this.now);
      for (const letter of due) this.#deliver(letter);
      this.#check();
    }
  }

  #learn(process: Process, members: readonly string[]): void {
    const before = new Map(process.members.map((id) => [id, this.#known(process, id)]));
    this.#adopt(process, members, this.now);
    process.members = members;
    for (const id of members) {
      const known = before.get(id);
      if (known !== undefined) assert.deepEqual(this.#known(process, id), known, `${process.id} knows ${id}`);
    }
  }

  /** What must be the same after a change of the list. */
  #known(process: Process, id: string): unknown {
    const number = process.numberOf(id);
    const entry = new Entry();
    copyEntry(entry, process.core.list.entries[number]!);
    const view = process.core.view(number, this.now);
    return { entry, status: view?.status, avoided: view?.avoided };
  }

  #deliver(letter: Letter): void {
    const process = this.processes.get(letter.to);
    const from = process?.numberOf(letter.from) ?? -1;
    // From a stranger nothing is taken.
    if (process === undefined || from === -1 || this.processes.get(letter.from) !== letter.sender) return;
    const { core } = process;
    core.heard(from, this.now);
    if (letter.kind === 'request') core.pingRequested(from, process.numberOf(letter.target), this.now);
    else if (letter.kind === 'confirm') core.confirmed(from, process.numberOf(letter.target), this.now);
    else {
      core.readGossip(new ByteReader(letter.bytes), from, this.now);
      if (letter.kind === 'ping') this.#gossip('pong', process, letter.from);
      else core.answered(from, this.now);
    }
  }

  /** Nobody who lives is taken for dead by those who have him for a member. */
  #check(): void {
    for (const id of this.members) {
      const process = this.processes.get(id)!;
      for (const other of process.members) {
        const number = process.numberOf(other);
        if (other === id || !this.processes.has(other)) continue;
        assert.notEqual(process.core.view(number, this.now)?.status, 'down', `${id} thinks ${other} down`);
        assert.ok(process.core.list.entries[number]!.status < STATUS_DOWN, `${other} is said to be down`);
      }
    }
  }
}

const universe = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

const history = fc.record({
  seed: fc.nat(1_000_000),
  loss: fc.constantFrom(0, 0.02),
  first: fc.integer({ min: 1, max: 5 }),
  changes: fc.array(
    fc.record({
      toggled: fc.uniqueArray(fc.nat(universe.length - 1), { minLength: 1, maxLength: 2 }),
      waitMs: fc.integer({ min: 100, max: 4000 }),
      /** Whether those who are dropped go on talking. */
      zombies: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  ),
});

function play(run: typeof history extends fc.Arbitrary<infer T> ? T : never, adopt: Adopt): void {
  const world = new World(run.seed, run.loss, universe.slice(0, run.first), adopt);
  world.run(2000);
  for (const { toggled, waitMs, zombies } of run.changes) {
    const before = world.members;
    const members = universe.filter((id, i) => before.includes(id) !== toggled.includes(i));
    // Somebody stays, as in every change of a topology.
    if (!members.some((id) => before.includes(id))) continue;
    world.change(members);
    if (!zombies) for (const id of before) if (!members.includes(id)) world.processes.delete(id);
    world.run(waitMs);
  }
  world.run(lagMs + 4000);
  for (const id of world.members) {
    const { core, numberOf } = world.processes.get(id)!;
    assert.deepEqual(core.list.book.ids, world.members, `${id} has the list`);
    for (const other of world.members) {
      if (other === id) continue;
      const view = core.view(numberOf.call(world.processes.get(id), other), world.now)!;
      assert.equal(view.status, 'alive', `${id} hears ${other}`);
      assert.equal(view.avoided, false, `${id} reaches ${other}`);
      assert.equal(view.incarnation, world.processes.get(other)!.core.list.own.incarnation);
    }
  }
}

test('members come and go in any order: all end with one list, the living are never down, the dropped stay away', () => {
  fc.assert(
    fc.property(history, (run) => play(run, ({ core }, members, now) => core.setMembers(members, now))),
    { numRuns: 100 },
  );
});

test('a machine that begins anew with each list is caught', () => {
  const anew: Adopt = ({ id, core }, members, now) => {
    // Who is not in a list is forgotten.
    core.setMembers([id], now);
    core.setMembers(members, now);
  };
  assert.throws(() =>
    fc.assert(
      fc.property(history, (run) => play(run, anew)),
      { numRuns: 100 },
    ),
  );
});
