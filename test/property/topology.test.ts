/**
 * Topologies over random histories of changes: what every page must hold to, whatever led to it, that bytes
 * there and back say the same, and that bytes from anywhere are an error at most.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CodedError } from '../../src/base/errors.ts';
import { balanceOf, movementOf } from '../../src/ring/balance.ts';
import type { Table } from '../../src/ring/table.ts';
import { advanced, begun, cancelled, cleared } from '../../src/topology/changes.ts';
import { checkTopology } from '../../src/topology/checks.ts';
import { decodeTopology, encodeTopology } from '../../src/topology/codec.ts';
import type { TopologyRequest } from '../../src/topology/request.ts';
import type { Topology } from '../../src/topology/topology.ts';
import { beginCopy, foundingOf, memberOf } from '../support/topologies.ts';

/** What happens to a cluster: a request made of dice, and then steps of the change. */
interface Event {
  readonly what: 'join' | 'leave' | 'remove' | 'replace' | 'weight' | 'cancel' | 'force' | 'step';
  readonly pick: number;
  readonly weight: number;
}

const zones = ['a', 'b', 'c', 'd'];

const eventArbitrary: fc.Arbitrary<Event> = fc.record({
  what: fc.constantFrom(
    'join' as const,
    'leave' as const,
    'remove' as const,
    'replace' as const,
    'weight' as const,
    'cancel' as const,
    'force' as const,
    'step' as const,
    'step' as const,
    'step' as const,
    'step' as const,
  ),
  pick: fc.nat(),
  weight: fc.constantFrom(1, 1, 2, 0.5),
});

const historyArbitrary = fc.record({
  size: fc.integer({ min: 1, max: 9 }),
  zoneCount: fc.integer({ min: 1, max: 4 }),
  replicaCount: fc.integer({ min: 1, max: 4 }),
  events: fc.array(eventArbitrary, { maxLength: 25 }),
});

function requestOf({ what, pick, weight }: Event, topology: Topology, next: number): TopologyRequest {
  const { members } = topology;
  const { id } = members[pick % members.length]!;
  const member = memberOf(next, zones[pick % zones.length]!, weight);
  switch (what) {
    case 'join':
      return { kind: 'join', member };
    case 'replace':
      return { kind: 'replace', id, member };
    case 'weight':
      return { kind: 'weight', id, weight };
    case 'remove':
      return { kind: 'remove', ids: [id] };
    case 'force':
      return { kind: 'force', gone: members.slice(0, pick % (members.length + 1)).map((one) => one.id) };
    case 'leave':
      return { kind: 'leave', id };
    default:
      return { kind: 'cancel' };
  }
}

/** All pages of a history, and the page before each. */
function pagesOf(
  history: typeof historyArbitrary extends fc.Arbitrary<infer T> ? T : never,
): [Topology, Topology][] {
  const { size, zoneCount, replicaCount, events } = history;
  const founders = Array.from({ length: size }, (_, at) => memberOf(at + 1, zones[at % zoneCount]!));
  let topology = foundingOf(founders, 64, replicaCount);
  const pages: [Topology, Topology][] = [[topology, topology]];
  let next = size + 1;
  for (const event of events) {
    let after: Topology | undefined;
    if (event.what === 'step') {
      after = topology.phase === 'steady' ? cleared(topology, event.pick, 0) : advanced(topology);
    } else {
      try {
        after = begun(topology, requestOf(event, topology, next++), event.pick, 5).topology;
      } catch (error) {
        // What cannot be done is refused in words, and changes nothing.
        assert.ok(error instanceof CodedError && error.outcome === 'fail');
        assert.ok(error.code === 'invalid' || error.code === 'unavailable');
      }
    }
    if (after === undefined || after === topology) continue;
    pages.push([topology, after]);
    topology = after;
  }
  return pages;
}

/** N distinct owners a partition, in as many zones as there can be. */
function assertLists(table: Table): void {
  const zoneOf = new Map(table.members.map((member) => [member.id, member.zone]));
  const zoneCount = new Set(zoneOf.values()).size;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    const list = table.preferenceListOfPartition(partition);
    assert.equal(new Set(list).size, Math.min(table.replicaCount, table.members.length));
    assert.equal(new Set(list.map((id) => zoneOf.get(id))).size, Math.min(zoneCount, list.length));
  }
}

function assertHeld(before: Topology, now: Topology): void {
  for (let partition = 0; partition < now.partitionCount; partition++) {
    const isHeld = (table: Table, members: Topology): boolean =>
      table.preferenceListOfPartition(partition).some((id) => members.has(id));
    // Whoever comes holds a partition when the copying is done, and not before.
    const isCopied = before.phase === 'switch' && isHeld(before.next, before);
    if (isCopied || isHeld(before.old ?? before.read, before)) {
      assert.ok(isHeld(now.read, now), `partition ${partition}`);
    }
  }
}

test('every page of any history holds together, and follows from the one before', () => {
  let longest = 0;
  fc.assert(
    fc.property(historyArbitrary, (history) => {
      const pages = pagesOf(history);
      longest = Math.max(longest, pages.length);
      for (const [before, now] of pages) {
        checkTopology(now);
        assertLists(now.next);
        assert.ok(balanceOf(now.next).replicas.surplusMax < 1);
        const steps = now.epoch - before.epoch;
        assert.ok(now === before || steps === 1 || steps === 1000);
        // What reads ask changes only where the copying is done.
        const isTurn = before.other !== undefined && now.other !== undefined && before.phase !== now.phase;
        if (!isTurn) assert.equal(now.read, before.read);
        // A partition that somebody of before still holds is never left to members that are gone.
        if (now.phase === 'steady' && now !== before) assertHeld(before, now);
        // Nobody who has to answer for the data gives it up before the others have it.
        if (now.phase === 'copy') assert.equal(now.old, before.old ?? before.read);
        // Whoever comes is counted on only by a page that follows one on which it is a member.
        for (const { id } of now.other?.members ?? []) {
          if (now.has(id)) assert.ok(before.has(id), `${id} is to hold rows before it was waited for`);
        }
        for (const { id } of before.members) {
          const isDone = now.phase === 'steady';
          assert.ok(now.has(id) || now.change!.gone.includes(id) || isDone, `${id} vanished`);
        }
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(longest > 6, `the longest history has ${longest} pages`);
});

test('a change that is cancelled leaves table and members as they were', () => {
  let cancellations = 0;
  fc.assert(
    fc.property(historyArbitrary, (history) => {
      for (const [before, now] of pagesOf(history)) {
        if (before.phase !== 'steady' || now.phase === 'steady' || now.epoch !== before.epoch + 1) continue;
        cancellations++;
        if (now.phase === 'enrol') {
          assert.deepEqual(cancelled(advanced(now)).topology.members, before.members);
        }
        const back = cancelled(now).topology;
        assert.equal(back.read, before.read);
        assert.deepEqual(back.members, before.members);
        assert.deepEqual(back.ghosts, before.ghosts);
      }
    }),
    { numRuns: 100 },
  );
  assert.ok(cancellations > 40, `${cancellations} cancellations`);
});

test('with equal weights and one zone a change moves the least it can', () => {
  const kinds = fc.array(fc.tuple(fc.constantFrom('join', 'leave', 'remove', 'replace'), fc.nat()), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 20 }), kinds, (size, steps) => {
      let topology = foundingOf(
        Array.from({ length: size }, (_, at) => memberOf(at + 1)),
        1024,
      );
      let next = size + 1;
      for (const [kind, pick] of steps) {
        const what = topology.members.length < 5 && kind !== 'replace' ? 'join' : kind;
        const event = { what, pick, weight: 1 } as Event;
        const request = requestOf(event, topology, next++);
        const even = 'member' in request ? { ...request, member: { ...request.member, zone: 'z' } } : request;
        const copy = beginCopy(topology, even);
        const { replicasMoved, replicasMovedMin } = movementOf(copy.read, copy.next);
        assert.ok(
          replicasMoved <= 1.05 * replicasMovedMin + 1,
          `${what}: ${replicasMoved}, ${replicasMovedMin}`,
        );
        const { primaries, replicas } = balanceOf(copy.next);
        assert.ok(primaries.surplusMax < 1 && replicas.surplusMax < 1);
        topology = advanced(advanced(copy));
      }
    }),
    { numRuns: 25 },
  );
});

test('bytes there and back are the same topology', () => {
  fc.assert(
    fc.property(historyArbitrary, (history) => {
      for (const [, topology] of pagesOf(history)) {
        const bytes = encodeTopology(topology);
        const back = decodeTopology(bytes);
        assert.deepEqual(encodeTopology(back), bytes);
        assert.ok(back.read.equals(topology.read));
        assert.equal(back.other === undefined, topology.other === undefined);
        if (back.other !== undefined) assert.ok(back.other.equals(topology.other!));
        const { epoch, phase, members, change, lost } = back;
        assert.deepEqual(
          { epoch, phase, members, change, lost },
          {
            epoch: topology.epoch,
            phase: topology.phase,
            members: topology.members,
            change: topology.change,
            lost: topology.lost,
          },
        );
      }
    }),
    { numRuns: 60 },
  );
});

test('bytes from anywhere are a topology that holds together, or an error', () => {
  const decode = (bytes: Uint8Array): boolean => {
    try {
      checkTopology(decodeTopology(bytes));
      return true;
    } catch (error) {
      assert.ok(error instanceof CodedError && (error.code === 'protocol' || error.code === 'invalid'));
      return false;
    }
  };
  const damage = fc.record({ at: fc.nat(), flip: fc.integer({ min: 1, max: 255 }), cut: fc.boolean() });
  let refused = 0;
  fc.assert(
    fc.property(historyArbitrary, fc.array(damage, { minLength: 20, maxLength: 20 }), (history, damages) => {
      const bytes = encodeTopology(pagesOf(history).at(-1)![1]);
      for (const { at, flip, cut } of damages) {
        const damaged = cut ? bytes.slice(0, at % bytes.length) : bytes.slice();
        // Most of the bytes are lists; the head is where the interesting ones are.
        if (!cut) damaged[(at % 2 === 0 ? at : at % 200) % damaged.length]! ^= flip;
        if (!decode(damaged)) refused++;
      }
      decode(Uint8Array.of(...bytes, 0));
    }),
    { numRuns: 60 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void decode(Uint8Array.of(1, ...bytes))),
  );
  assert.ok(refused > 200, `${refused} refused`);
});
