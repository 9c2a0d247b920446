/** Links to a list of members that changes: who stays, who goes, who comes back, and whose clocks count. */

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ByteReader, ByteWriter } from '../../../src/base/bytes.ts';
import { GossipList } from '../../../src/membership/gossip-list.ts';
import type { Link } from '../../../src/node/links.ts';
import { Links } from '../../../src/node/links.ts';
import type { Member } from '../../../src/node/options.ts';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { STAMP_NONE } from '../../../src/rows/row.ts';
import { frameSequence } from '../../../src/wire/frame.ts';
import { pumpedMember } from '../../support/pumped-cluster.ts';

const none: ReadonlySet<string> = new Set();
const membersOf = (...ids: readonly string[]): Member[] => ids.map((id) => pumpedMember(id));

/** What a peer says of itself with a PING or PONG, as of a life. */
function gossipOf(id: string, incarnation: number, ...ids: readonly string[]): ByteReader {
  const limits = { entriesMax: 8, entriesUsual: 3 };
  const list = new GossipList(id, ids, incarnation, limits, none);
  list.raiseOwn({ epoch: 7, settledEpoch: 6, rebuildingSince: 0, hintFloor: 5 });
  const writer = new ByteWriter();
  list.write(writer, 0);
  return new ByteReader(writer.take());
}

class Surroundings {
  now = 1000;
  wall = 1_700_000_000_000;
  readonly sent: { readonly peer: string; readonly frame: Uint8Array }[] = [];
  readonly heard: string[] = [];
  readonly links: Links;

  constructor(...ids: readonly string[]) {
    const transport = {
      send: (peer: string, frame: Uint8Array) => this.sent.push({ peer, frame: frame.slice() }) > 0,
      reset: () => {},
      setPeers: () => {},
    };
    const events = {
      livenessChanged: (link: Link) => {
        this.heard.push(`${link.member.id} ${link.live ? 'live' : 'lost'}`);
      },
    };
    const options = {
      self: pumpedMember('b'),
      members: membersOf(...ids),
      life: 1,
      transport,
      random: { u32: () => 0 },
      limits: NODE_LIMITS_DEFAULT,
      log: LOG_SILENT,
      mutants: none,
      now: this.now,
    };
    this.links = new Links(options, events, () => {});
    this.links.begin(0x2_0000, this.now);
  }

  up(...ids: readonly string[]): void {
    for (const id of ids) this.links.peerUp(id, this.now);
    this.links.flush();
  }

  pass(ms: number): void {
    this.now += ms;
    this.wall += ms;
    this.links.tick(this.now, this.wall, STAMP_NONE);
    this.links.flush();
  }

  /** A peer answers what it was asked last; its clock is off by so much. */
  answer(id: string, offsetMs = 0): void {
    const link = this.links.get(id)!;
    const gossip = gossipOf(id, 0x3_0000, 'a', 'b', 'c', 'd');
    this.links.heard(link, this.now);
    this.links.pong(link, link.pingSequence, this.wall + offsetMs, gossip, this.now, this.wall);
  }
}

describe('links to members that change', () => {
  let around: Surroundings;
  beforeEach(() => {
    around = new Surroundings('a', 'b', 'c');
    around.up('a', 'c');
    around.answer('a');
    around.answer('c');
  });

  it('those who stay keep their links and what is known of them, under other numbers', () => {
    const { links } = around;
    const link = links.get('c')!;
    const before = links.view(link, around.now);
    assert.equal(before.incarnation, 0x3_0000);
    assert.deepEqual([before.epoch, before.settledEpoch, before.hintFloor], [7, 6, 5]);
    assert.equal(link.number, 2);
    links.setMembers(membersOf('b', 'c', 'd', 'e'), around.now);
    assert.equal(links.get('c'), link);
    assert.equal(link.number, 1);
    assert.deepEqual(links.view(link, around.now), before);
    assert.ok(link.live && link.up);
    assert.equal(links.incarnation, 0x2_0000);
    assert.deepEqual(
      [...links.all()].map(({ member }) => member.id),
      ['c', 'd', 'e'],
    );
    assert.equal(links.get('d')!.live, false);
    assert.deepEqual(around.heard, ['a live', 'c live', 'a lost']);
  });

  it('one that goes is sent what was written for it, and is lost after that', () => {
    const { links } = around;
    const link = links.get('a')!;
    around.sent.length = 0;
    const generation = link.generation;
    links.writer(link)!.u8(1);
    links.setMembers(membersOf('b', 'c'), around.now);
    assert.deepEqual(
      around.sent.map(({ peer }) => peer),
      ['a'],
    );
    assert.equal(links.get('a'), undefined);
    assert.ok(!link.live && !link.up && link.generation > generation);
    assert.equal(links.writer(link), undefined);
    assert.deepEqual(around.heard, ['a live', 'c live', 'a lost']);
    around.pass(10_000);
    links.peerDown('a', 'late', around.now);
    links.peerUp('a', around.now);
    assert.equal(links.isLive('a'), false);
    assert.deepEqual(
      around.heard.filter((event) => event.startsWith('a')),
      ['a live', 'a lost'],
    );
  });

  it('what a frame still holds of one that goes by that very frame is not read', () => {
    const { links } = around;
    const link = links.get('a')!;
    links.setMembers(membersOf('b', 'c'), around.now);
    around.sent.length = 0;
    links.pinged(link, 1, gossipOf('a', 0x9_0000, 'a', 'b', 'c'), around.now, around.wall);
    links.pong(link, 1, around.wall, gossipOf('a', 0x9_0000, 'a', 'b', 'c'), around.now, around.wall);
    links.probeAsked(link, links.get('c'), around.now);
    links.flush();
    assert.ok(around.sent.every(({ peer }) => peer !== 'a'));
    assert.equal(links.view(links.get('c')!, around.now).incarnation, 0x3_0000);
  });

  it('one that comes back is a stranger, and frames to it go on where they were', () => {
    const { links } = around;
    for (let i = 0; i < 5; i++) {
      links.writer(links.get('a')!)!.u8(1);
      links.flush();
    }
    const last = frameSequence(around.sent.filter(({ peer }) => peer === 'a').at(-1)!.frame);
    const before = links.get('a');
    links.setMembers(membersOf('b', 'c'), around.now);
    links.setMembers(membersOf('a', 'b', 'c'), around.now);
    const link = links.get('a')!;
    assert.notEqual(link, before);
    assert.equal(links.view(link, around.now).incarnation, 0);
    around.up('a');
    const next = frameSequence(around.sent.filter(({ peer }) => peer === 'a').at(-1)!.frame);
    assert.ok(next > last, `${next} after ${last}`);
  });

  it('an address, a zone: the link has the member as it is now, and so has the node itself', () => {
    const { links } = around;
    const moved = { ...pumpedMember('c', 'west'), host: '127.0.0.9' };
    links.setMembers([pumpedMember('a'), pumpedMember('b', 'east'), moved], around.now);
    assert.equal(links.get('c')!.member, moved);
    assert.equal(links.zoneOf('c'), 'west');
    assert.equal(links.zoneOf('b'), 'east');
    assert.deepEqual(around.heard, ['a live', 'c live']);
  });

  it('a node that is no member itself goes on', () => {
    const { links } = around;
    links.setMembers(membersOf('a', 'c'), around.now);
    assert.ok(links.isLive('a') && links.isLive('c') && links.isLive('b'));
    around.pass(200);
    assert.equal(links.incarnation, 0x2_0000);
    links.setMembers(membersOf('a', 'b', 'c'), around.now);
    assert.equal(links.incarnation, 0x2_0000);
  });

  it('nobody is avoided because of a change, however often the list changes', () => {
    const { links } = around;
    for (let round = 0; round < 40; round++) {
      const many = Array.from({ length: 1 + (round % 7) * 5 }, (_, i) => `x${i}`);
      links.setMembers(membersOf('a', 'b', 'c', ...many), around.now);
      around.pass(100);
      around.answer('a');
      around.answer('c');
      assert.ok(links.isLive('a') && links.isLive('c'));
    }
    assert.deepEqual(around.heard, ['a live', 'c live']);
  });
});

describe('clocks of members that change', () => {
  it('one that was taken in and has not answered yet counts neither for nor against our clock', () => {
    const around = new Surroundings('a', 'b');
    const { links } = around;
    around.up('a');
    around.answer('a');
    const confirmed = (): boolean => links.isClockConfirmed(around.now, around.wall);
    assert.ok(confirmed());
    links.setMembers(membersOf('a', 'b', 'c', 'd'), around.now);
    assert.ok(confirmed(), 'two strangers are no witnesses');
    around.up('c', 'd');
    assert.ok(confirmed());
    assert.equal(links.isClockDoubted(around.now, around.wall), false);
    around.answer('c', 60_000);
    around.answer('d', 60_000);
    assert.ok(!confirmed());
    assert.ok(links.isClockDoubted(around.now, around.wall), 'once they answer they count');
  });

  it('strangers do not hide that those who are known doubt', () => {
    const around = new Surroundings('a', 'b');
    const { links } = around;
    around.up('a');
    around.answer('a', 60_000);
    assert.ok(links.clockDoubted);
    links.setMembers(membersOf('a', 'b', 'c', 'd'), around.now);
    around.up('c', 'd');
    assert.ok(links.isClockDoubted(around.now, around.wall));
  });

  it('a node alone that takes somebody in trusts its own clock until that one answers', () => {
    const around = new Surroundings('b');
    assert.ok(around.links.isClockConfirmed(around.now, around.wall));
    around.links.setMembers(membersOf('a', 'b'), around.now);
    assert.ok(around.links.isClockConfirmed(around.now, around.wall));
    around.up('a');
    around.answer('a', 60_000);
    assert.ok(!around.links.isClockConfirmed(around.now, around.wall));
  });
});
