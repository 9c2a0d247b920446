/** What a newcomer logs while its join waits for a member that is down. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JoinWait } from '../../../src/main/join-wait.ts';
import type { MemberView } from '../../../src/node/api.ts';
import type { LogFields } from '../../../src/ports/log.ts';
import { advanced, begun } from '../../../src/topology/changes.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { pumpedMember } from '../../support/pumped-cluster.ts';

/** A cluster of three that takes in a fourth; `down` is dead, and has not settled the epoch. */
class Growing {
  readonly node = new FakeNode(3);
  readonly lines: LogFields[] = [];
  readonly wait: JoinWait;
  down: readonly string[] = [];

  constructor(id: string) {
    const member = pumpedMember('n4');
    this.node.topology = begun(this.node.topology, { kind: 'join', member }, 7, 1000).topology;
    this.wait = new JoinWait(id, {
      write: (level, event, fields) => {
        assert.deepEqual([level, event], ['warn', 'join-waits']);
        this.lines.push(fields!);
      },
    });
  }

  /** Looks ten times a second, from one second to another. */
  look(from: number, to: number): void {
    const { topology } = this.node;
    const members = topology.members.map(({ id }) => {
      const isDown = this.down.includes(id);
      return { id, live: !isDown, settledEpoch: isDown ? topology.epoch - 1 : topology.epoch } as MemberView;
    });
    for (let at = from * 1000; at < to * 1000; at += 100) {
      this.wait.look({ topology, members: () => members }, at);
    }
  }
}

describe('a newcomer whose join waits', () => {
  it('says for whom after five seconds, and again every minute', () => {
    const growing = new Growing('n4');
    growing.down = ['n3'];
    growing.look(0, 5);
    assert.equal(growing.lines.length, 0);
    growing.look(5, 65);
    assert.equal(growing.lines.length, 1);
    const [line] = growing.lines;
    assert.deepEqual([line!.waitsFor, line!.phase, line!.sinceMs], ['n3', 'enrol', 5000]);
    assert.match(
      String(line!.action),
      /^start n3 again; .*"dure node remove n3", or give .*"dure node cancel"$/,
    );
    growing.look(65, 130);
    assert.equal(growing.lines.length, 3);
    // It came back, and another went: that is not said sooner than after the minute.
    growing.down = [];
    growing.look(130, 131);
    growing.down = ['n1', 'n2'];
    growing.look(131, 184);
    assert.equal(growing.lines.length, 3);
    growing.look(184, 186);
    assert.equal(growing.lines[3]!.waitsFor, 'n1,n2');
  });

  it('says nothing while nobody is down, once it owns its share, and where it is no newcomer', () => {
    const growing = new Growing('n4');
    growing.look(0, 10);
    const host = new Growing('n1');
    host.down = ['n3'];
    host.look(0, 10);
    assert.equal(growing.lines.length + host.lines.length, 0);
    // In the last page but one it can be cancelled no more.
    growing.node.topology = advanced(advanced(growing.node.topology));
    growing.down = ['n3'];
    growing.look(10, 16);
    assert.doesNotMatch(String(growing.lines[0]!.action), /cancel/);
    growing.node.topology = advanced(growing.node.topology);
    growing.look(16, 100);
    assert.equal(growing.lines.length, 1);
  });
});
