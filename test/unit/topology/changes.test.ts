/** Changes of the topology one by one: what each page says, and what is refused with which words. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError, type ErrorCode } from '../../../src/base/errors.ts';
import { difference } from '../../../src/ring/difference.ts';
import {
  advanced,
  begun,
  cancelled,
  cleared,
  FORCED_EPOCHS,
  forced,
  isInVain,
} from '../../../src/topology/changes.ts';
import { checkTopology } from '../../../src/topology/checks.ts';
import { memberState } from '../../../src/topology/member-state.ts';
import type { TopologyRequest } from '../../../src/topology/request.ts';
import { EPOCH_MAX, Topology } from '../../../src/topology/topology.ts';
import {
  begin,
  beginCopy,
  carryOut,
  foundingOf,
  foundingOfCount,
  listsOf,
  memberOf,
} from '../../support/topologies.ts';

const three = foundingOfCount(3);

function refuses(topology: Topology, request: TopologyRequest, code: ErrorCode, words: RegExp): void {
  assert.throws(
    () => begun(topology, request, 7, 61_000),
    (error) => {
      assert.ok(error instanceof CodedError);
      assert.equal(error.code, code);
      assert.equal(error.outcome, 'fail');
      assert.match(error.message, words);
      return true;
    },
  );
}

/** Asked again, nothing happens. */
function isSo(topology: Topology, request: TopologyRequest): void {
  assert.equal(begun(topology, request, 8, 2_000).topology, topology);
}

const ids = (topology: Topology): string[] => topology.members.map(({ id }) => id);

describe('a join', () => {
  const request: TopologyRequest = { kind: 'join', member: memberOf(4) };

  test('waits for the newcomer, then goes through copy and switch to a table with it', () => {
    const enrol = begin(three, request, 42);
    assert.deepEqual([enrol.epoch, enrol.phase, ids(enrol)], [2, 'enrol', ['n1', 'n2', 'n3', 'n4']]);
    assert.deepEqual(
      [enrol.read, enrol.other, enrol.old, enrol.next],
      [three.read, undefined, undefined, three.read],
    );
    assert.deepEqual([enrol.newcomers.map(({ id }) => id), enrol.voters.length], [['n4'], 3]);
    assert.deepEqual(
      ['n1', 'n4', 'n5'].map((id) => memberState(enrol, id)),
      ['owning', 'joining', 'gone'],
    );
    assert.equal(enrol.isMoving(0), false);
    const copy = advanced(enrol);
    assert.deepEqual([copy.epoch, copy.phase, ids(copy)], [3, 'copy', ['n1', 'n2', 'n3', 'n4']]);
    assert.equal(copy.read, three.read);
    assert.ok(copy.other!.has('n4'));
    const change = { kind: 'join', id: 42, nodes: ['n4'], gone: [], epoch: 2, beganAt: 1000 };
    assert.deepEqual(copy.change, change);
    const turned = advanced(copy);
    assert.deepEqual([turned.epoch, turned.phase], [4, 'switch']);
    assert.equal(turned.read, copy.other);
    assert.equal(turned.other, copy.read);
    const steady = advanced(turned);
    assert.deepEqual([steady.epoch, steady.phase, steady.other], [5, 'steady', undefined]);
    assert.equal(steady.read, copy.other);
    assert.deepEqual(steady.change, change);
    for (const topology of [enrol, copy, turned, steady]) {
      checkTopology(topology);
      isSo(topology, request);
    }
  });

  test('that is taken in by a page that says nothing of it is no topology', () => {
    const enrol = begin(three, request);
    const { epoch, phase, members, read, other, change } = enrol;
    const content = { epoch, phase, members, read, other, change };
    const wrong: [object, RegExp][] = [
      [{ change: { ...change, nodes: ['n3'] } }, /n4 is a member and owns nothing/],
      [{ other: read }, /two tables/],
      [{ phase: 'steady' }, /n4 is a member and owns nothing/],
      [{ change: undefined }, /no change that is under way/],
      [{ change: { ...change, kind: 'replace' } }, /comes for another/],
    ];
    for (const [part, words] of wrong) assert.throws(() => checkTopology({ ...content, ...part }), words);
  });

  test('is refused for a member that has another address, weight or zone', () => {
    const { member } = request as { member: ReturnType<typeof memberOf> };
    const enrol = begin(three, request);
    refuses(
      enrol,
      { kind: 'join', member: { ...member, host: 'elsewhere' } },
      'invalid',
      /another host \(10/,
    );
    const copy = advanced(enrol);
    refuses(
      copy,
      { kind: 'join', member: { ...member, weight: 2 } },
      'invalid',
      /another weight \(1, not 2\)/,
    );
    refuses(copy, { kind: 'join', member: { ...member, zone: 'y' } }, 'invalid', /another zone/);
  });

  test('is refused for what is no member, and for an address that is taken', () => {
    const bad = (part: object, words: RegExp): void =>
      refuses(three, { kind: 'join', member: { ...memberOf(4), ...part } }, 'invalid', words);
    bad({ id: 'a b' }, /is named by/);
    bad({ id: '' }, /is named by/);
    bad({ host: 'two words' }, /no host/);
    bad({ weight: 0 }, /weight of n4 must be above 0/);
    bad({ weight: Number.NaN }, /weight of n4 must be above 0/);
    bad({ zone: '' }, /zone of n4/);
    bad({ peerPort: 70_000 }, /70000 is no port/);
    bad({ respPort: 7371 }, /port 7371 twice/);
    bad({ host: '10.0.0.2' }, /10\.0\.0\.2:6371 cannot be an address of n4: it is one of n2/);
    bad({ host: '10.0.0.2', respPort: 1, peerPort: 2, httpPort: 6371 }, /10\.0\.0\.2:6371/);
  });

  test('takes port 0 for no port', () => {
    const ports = { respPort: 0, peerPort: 0, httpPort: 0 };
    const founding = foundingOf([1, 2, 3].map((number) => ({ ...memberOf(number), host: 'h', ...ports })));
    assert.equal(begin(founding, { kind: 'join', member: { ...memberOf(4), host: 'h', ...ports } }).epoch, 2);
  });
});

describe('a leave', () => {
  test('keeps the member until the end, and no longer', () => {
    const four = foundingOfCount(4);
    const copy = begin(four, { kind: 'leave', id: 'n2' });
    assert.ok(copy.has('n2') && copy.read.has('n2') && !copy.other!.has('n2'));
    const turned = advanced(copy);
    assert.ok(turned.has('n2'));
    const steady = advanced(turned);
    assert.deepEqual(ids(steady), ['n1', 'n3', 'n4']);
    for (const topology of [copy, turned, steady]) isSo(topology, { kind: 'leave', id: 'n2' });
    refuses(steady, { kind: 'leave', id: 'n9' }, 'invalid', /n9 is no member; the members are n1, n3, n4;/);
  });

  test('below N is allowed and said', () => {
    const { topology, warnings } = begun(three, { kind: 'leave', id: 'n2' }, 1, 0);
    assert.equal(topology.next.listLength, 2);
    assert.match(warnings.join(), /Only 2 members will be left: keys have 2 replicas instead of 3/);
    assert.deepEqual(begun(foundingOfCount(4), { kind: 'leave', id: 'n2' }, 1, 0).warnings, []);
  });

  test('is refused to the last', () => {
    const one = foundingOfCount(1);
    refuses(one, { kind: 'leave', id: 'n1' }, 'invalid', /n1 is the last member/);
    refuses(one, { kind: 'remove', ids: ['n1'] }, 'invalid', /somebody must stay/);
  });
});

describe('a change under way', () => {
  const enrol = begin(three, { kind: 'join', member: memberOf(4) }, 99);
  const copy = advanced(enrol);

  test('is named to whoever asks for another', () => {
    const words = /join n4 \(change 99, phase copy, begun 1m ago\); wait for it, or cancel it/;
    refuses(copy, { kind: 'join', member: memberOf(5) }, 'unavailable', words);
    refuses(copy, { kind: 'leave', id: 'n1' }, 'unavailable', words);
    refuses(copy, { kind: 'weight', id: 'n1', weight: 2 }, 'unavailable', words);
    refuses(copy, { kind: 'replace', id: 'n1', member: memberOf(5) }, 'unavailable', words);
    refuses(advanced(copy), { kind: 'leave', id: 'n1' }, 'unavailable', /phase switch.*; wait for it;/);
    const enrolling = /phase enrol, begun 1m ago\); wait for it, or cancel it/;
    refuses(enrol, { kind: 'weight', id: 'n4', weight: 2 }, 'unavailable', enrolling);
    refuses(enrol, { kind: 'leave', id: 'n4' }, 'unavailable', enrolling);
  });

  test('is cancelled back to the very table and members, and only before the switch', () => {
    for (const during of [enrol, copy]) {
      const back = cancelled(during).topology;
      assert.deepEqual([back.epoch, back.phase, ids(back)], [during.epoch + 1, 'steady', ['n1', 'n2', 'n3']]);
      assert.equal(back.read, three.read);
      assert.equal(back.change!.isCancelled, true);
      checkTopology(back);
      isSo(back, { kind: 'cancel' });
    }
    const back = cancelled(copy).topology;
    refuses(advanced(copy), { kind: 'cancel' }, 'unavailable', /cannot be cancelled any more/);
    refuses(three, { kind: 'cancel' }, 'invalid', /no change is under way/);
    const again = beginCopy(back, { kind: 'join', member: memberOf(4) });
    assert.equal(again.epoch, 6);
    // Tables of different epochs never have one number.
    assert.equal(again.other!.epoch, 6);
    assert.equal(copy.other!.epoch, 3);
  });

  test('that is cancelled gives back weights, and members that were taken for gone', () => {
    const weighed = begin(three, { kind: 'weight', id: 'n1', weight: 3 });
    assert.equal(weighed.member('n1')!.weight, 3);
    assert.deepEqual(cancelled(weighed).topology.members, three.members);
    const four = foundingOfCount(4);
    const removing = begin(four, { kind: 'remove', ids: ['n3'] });
    assert.deepEqual(cancelled(removing).topology.members, four.members);
    const replacing = begin(four, { kind: 'replace', id: 'n3', member: memberOf(5) });
    assert.equal(replacing.phase, 'enrol');
    for (const during of [replacing, advanced(replacing)])
      assert.deepEqual(cancelled(during).topology.members, four.members);
  });
});

describe('members that are gone', () => {
  const five = foundingOfCount(5);

  test('are members no more from the first page, and owners until the switch', () => {
    const copy = begin(five, { kind: 'remove', ids: ['n2', 'n2'] });
    assert.ok(!copy.has('n2') && copy.read.has('n2') && !copy.other!.has('n2'));
    assert.deepEqual(copy.change!.gone, ['n2']);
    assert.deepEqual(copy.ghosts, ['n2']);
    const steady = advanced(advanced(copy));
    assert.deepEqual(steady.ghosts, []);
    for (const topology of [copy, advanced(copy), steady]) {
      checkTopology(topology);
      isSo(topology, { kind: 'remove', ids: ['n2'] });
    }
  });

  test('are refused when nobody else holds what they hold', () => {
    refuses(
      five,
      { kind: 'remove', ids: ['n1', 'n2', 'n3'] },
      'invalid',
      /partitions? would lose .* last replica/,
    );
    const alone = foundingOf([memberOf(1), memberOf(2)], 64, 1);
    refuses(alone, { kind: 'remove', ids: ['n1'] }, 'invalid', /would lose their last replica/);
    refuses(alone, { kind: 'replace', id: 'n1', member: memberOf(5) }, 'invalid', /nobody but n1 holds it/);
    refuses(five, { kind: 'remove', ids: [] }, 'invalid', /say which members/);
    refuses(five, { kind: 'remove', ids: ['n1', 'n9'] }, 'invalid', /n9 is no member/);
  });

  test('in the middle of a change are asked nothing more, and taken out afterwards', () => {
    const copy = beginCopy(five, { kind: 'join', member: memberOf(6) });
    for (const during of [copy, advanced(copy)]) {
      const without = begin(during, { kind: 'remove', ids: ['n2'] });
      assert.equal(without.epoch, during.epoch + 1);
      assert.equal(without.phase, during.phase);
      assert.equal(without.read, during.read);
      assert.equal(without.other, during.other);
      assert.ok(!without.has('n2') && without.change!.gone.includes('n2'));
      assert.deepEqual(without.change!.nodes, ['n6']);
      checkTopology(without);
      isSo(without, { kind: 'remove', ids: ['n2'] });
      const turned = without.phase === 'copy' ? advanced(without) : without;
      const steady = advanced(turned);
      assert.deepEqual(steady.ghosts, ['n2']);
      checkTopology(steady);
      refuses(steady, { kind: 'join', member: memberOf(2) }, 'unavailable', /n2 is being removed/);
      const clean = cleared(steady, 5, 0)!;
      assert.deepEqual([clean.phase, clean.change!.kind, clean.change!.gone], ['copy', 'remove', ['n2']]);
      const end = advanced(advanced(clean));
      assert.deepEqual([end.ghosts, ids(end)], [[], ['n1', 'n3', 'n4', 'n5', 'n6']]);
      assert.equal(cleared(end, 5, 0), undefined);
    }
    assert.equal(cleared(copy, 5, 0), undefined);
  });

  test('before anything is placed own nothing by what is placed', () => {
    for (const kind of ['join', 'replace'] as const) {
      const enrol = begin(five, { kind, id: 'n1', member: memberOf(6) });
      const without = begin(enrol, { kind: 'remove', ids: ['n2'] });
      assert.deepEqual([without.phase, without.epoch, without.has('n2')], ['enrol', 3, false]);
      const copy = advanced(without);
      assert.deepEqual([copy.phase, copy.other!.has('n2'), copy.other!.has('n6')], ['copy', false, true]);
      const steady = advanced(advanced(copy));
      const left = kind === 'join' ? ['n1', 'n3', 'n4', 'n5', 'n6'] : ['n3', 'n4', 'n5', 'n6'];
      assert.deepEqual([ids(steady), steady.ghosts], [left, []]);
      for (const topology of [without, copy, steady]) checkTopology(topology);
    }
  });

  test('that a change was for end it', () => {
    const enrol = begin(five, { kind: 'join', member: memberOf(6) });
    const copy = advanced(enrol);
    for (const during of [enrol, copy]) {
      const back = begin(during, { kind: 'remove', ids: ['n6'] });
      assert.deepEqual([back.phase, back.change!.isCancelled, ids(back)], ['steady', true, ids(five)]);
      assert.equal(back.read, five.read);
      isSo(back, { kind: 'remove', ids: ['n6'] });
    }
    const turned = begin(advanced(copy), { kind: 'remove', ids: ['n6'] });
    assert.deepEqual([turned.phase, turned.ghosts], ['switch', ['n6']]);
    const replacing = begin(five, { kind: 'replace', id: 'n1', member: memberOf(6) });
    for (const during of [replacing, advanced(replacing)]) {
      const both = begin(during, { kind: 'remove', ids: ['n6', 'n2'] });
      assert.deepEqual([both.phase, ids(both)], ['steady', ['n1', 'n3', 'n4', 'n5']]);
      assert.deepEqual([both.ghosts, both.change!.gone], [['n2'], ['n2']]);
      checkTopology(both);
    }
  });

  test('are carried into whatever change comes next', () => {
    const copy = begin(beginCopy(five, { kind: 'join', member: memberOf(6) }), {
      kind: 'remove',
      ids: ['n2'],
    });
    const steady = advanced(advanced(copy));
    const next = begin(steady, { kind: 'weight', id: 'n1', weight: 2 });
    assert.deepEqual(next.change!.gone, ['n2']);
    assert.ok(!next.other!.has('n2'));
    checkTopology(next);
    assert.deepEqual(cancelled(next).topology.ghosts, ['n2']);
  });
});

describe('a replace', () => {
  test('moves what the other held, and nothing else, and may take over its address', () => {
    const five = foundingOfCount(5, 5);
    const member = { ...memberOf(3), id: 'new' };
    const zoned = { ...member, zone: five.member('n3')!.zone };
    const request: TopologyRequest = { kind: 'replace', id: 'n3', member: zoned };
    const enrol = begin(five, request);
    const copy = advanced(enrol);
    for (const topology of [enrol, copy]) checkTopology(topology);
    assert.deepEqual([enrol.ghosts, enrol.lost, copy.lost], [['n3'], [five.member('n3')], enrol.lost]);
    const { nodes, replicasMoved } = difference(copy.read, copy.other!);
    assert.deepEqual(nodes.map(({ id }) => id).sort(), ['n3', 'new']);
    assert.equal(replicasMoved, five.read.partitionsOf('n3').length);
    const steady = advanced(advanced(copy));
    for (const topology of [enrol, copy, advanced(copy), steady]) isSo(topology, request);
    const renamed = listsOf(five).map((list) => list.map((id) => (id === 'n3' ? 'new' : id)));
    assert.deepEqual(listsOf(steady), renamed);
  });

  test('is refused with a member, with itself, and of nobody', () => {
    refuses(three, { kind: 'replace', id: 'n1', member: memberOf(2) }, 'invalid', /n2 is a member already/);
    refuses(three, { kind: 'replace', id: 'n1', member: memberOf(1) }, 'invalid', /just started again/);
    refuses(three, { kind: 'replace', id: 'n9', member: memberOf(4) }, 'invalid', /n9 is no member/);
    const taken = { ...memberOf(4), host: '10.0.0.2' };
    refuses(three, { kind: 'replace', id: 'n1', member: taken }, 'invalid', /one of n2/);
  });
});

describe('a weight', () => {
  test('changes shares, and is no change when it is so already', () => {
    const five = foundingOfCount(5, 1, 1024);
    const steady = carryOut(five, { kind: 'weight', id: 'n1', weight: 0.5 });
    const counts = steady.read.replicaCounts();
    assert.ok(Math.abs(counts[0]! / counts[1]! - 0.5) < 0.02, `${counts}`);
    isSo(steady, { kind: 'weight', id: 'n1', weight: 0.5 });
    isSo(begin(five, { kind: 'weight', id: 'n1', weight: 2 }), { kind: 'weight', id: 'n1', weight: 2 });
    refuses(five, { kind: 'weight', id: 'n1', weight: -1 }, 'invalid', /above 0/);
    refuses(five, { kind: 'weight', id: 'n9', weight: 1 }, 'invalid', /no member/);
  });
});

describe('force', () => {
  test('goes on a thousand epochs later, without those that are lost', () => {
    const five = foundingOfCount(5);
    const { topology, warnings } = forced(five, ['n1', 'n2', 'n3'], 3, 0);
    assert.equal(topology.epoch, 1 + FORCED_EPOCHS);
    assert.deepEqual([topology.phase, ids(topology)], ['copy', ['n4', 'n5']]);
    assert.match(
      warnings[0]!,
      /partitions had no other owner: what only the members that are gone held is lost/,
    );
    assert.match(warnings[1]!, /Only 2 members will be left/);
    checkTopology(topology);
    isSo(topology, { kind: 'force', gone: ['n1', 'n2', 'n3'] });
    refuses(five, { kind: 'force', gone: ids(five) }, 'invalid', /somebody must stay/);
  });

  test('in the middle of a change leaves its tables as they are', () => {
    const enrol = begin(foundingOfCount(5), { kind: 'join', member: memberOf(6) });
    for (const during of [enrol, advanced(enrol), advanced(advanced(enrol))]) {
      const { topology } = forced(during, ['n1', 'n2', 'n3'], 3, 0);
      assert.equal(topology.epoch, during.epoch + FORCED_EPOCHS);
      assert.deepEqual(
        [topology.phase, topology.read, topology.other],
        [during.phase, during.read, during.other],
      );
      checkTopology(topology);
    }
  });
});

test('a change that would leave a partition to nobody goes back, page by page', () => {
  const copy = begin(foundingOfCount(4), { kind: 'leave', id: 'n4' });
  for (const during of [copy, advanced(copy)]) {
    let { topology } = forced(during, ['n1', 'n2', 'n3'], 3, 0);
    assert.equal(isInVain(topology), true);
    const pages: string[] = [];
    for (let page = 0; page < 3 && topology.phase !== 'steady'; page++) {
      topology = advanced(topology);
      checkTopology(topology);
      assert.equal(topology.old ?? topology.read, copy.read);
      pages.push(topology.phase);
    }
    assert.deepEqual(pages, during.phase === 'copy' ? ['steady'] : ['copy', 'steady']);
    assert.deepEqual([ids(topology), topology.ghosts], [['n4'], ['n1', 'n2', 'n3']]);
    const end = advanced(advanced(cleared(topology, 4, 0)!));
    assert.deepEqual([ids(end), end.read.partitionsOf('n4').length], [['n4'], 64]);
  }
  assert.equal(isInVain(copy), false);
  // Two members, of which one leaves and the other is lost: nothing is asked of a majority that could refuse.
  const leaving = begin(foundingOfCount(2), { kind: 'leave', id: 'n2' });
  const back = begin(leaving, { kind: 'remove', ids: ['n1'] });
  assert.deepEqual([back.phase, ids(back), back.ghosts], ['steady', ['n2'], ['n1']]);
});

test('a newcomer that is lost by force is not waited for', () => {
  const enrol = begin(foundingOfCount(3), { kind: 'join', member: memberOf(4) });
  for (const during of [enrol, advanced(enrol)]) {
    assert.equal(isInVain(during), false);
    const { topology } = forced(during, ['n4'], 3, 0);
    assert.deepEqual([topology.phase, isInVain(topology)], [during.phase, true]);
    const back = advanced(topology);
    assert.deepEqual([back.phase, ids(back), back.ghosts], ['steady', ['n1', 'n2', 'n3'], []]);
    assert.equal(back.change!.isCancelled, true);
  }
});

test('a newcomer goes on alone when all the others are lost by force', () => {
  const enrol = begin(foundingOfCount(2), { kind: 'join', member: memberOf(3) });
  let { topology } = forced(enrol, ['n1', 'n2'], 3, 0);
  assert.deepEqual([topology.voters.map(({ id }) => id), isInVain(topology)], [['n3'], false]);
  for (const phase of ['copy', 'switch', 'steady']) {
    topology = advanced(topology);
    checkTopology(topology);
    assert.equal(topology.phase, phase);
  }
  assert.deepEqual([ids(topology), topology.ghosts], [['n3'], []]);
});

test('a change is not cancelled when nobody of before is left to go back to', () => {
  const copy = begin(foundingOfCount(1), { kind: 'join', member: memberOf(2) });
  const { topology } = forced(copy, ['n1'], 3, 0);
  refuses(topology, { kind: 'cancel' }, 'invalid', /none of those who were there before/);
});

test('epochs end where frames can carry them no more', () => {
  const { members, read } = three;
  const last = new Topology({
    epoch: EPOCH_MAX,
    phase: 'steady',
    members,
    read,
    other: undefined,
    change: undefined,
  });
  refuses(last, { kind: 'leave', id: 'n1' }, 'invalid', /epochs are used up/);
});
