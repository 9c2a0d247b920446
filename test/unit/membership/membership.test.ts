/** The membership machine on a virtual network: deaths, freezes, cuts, pauses, and the mutants that spoil them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualNetwork } from '../../../scripts/membership/network.ts';
import { Membership, type PeerView } from '../../../src/membership/membership.ts';
import { membershipTimes } from '../../../src/membership/times.ts';

const calm = { loss: 0, freezeEveryMs: 0 };

function seen(network: VirtualNetwork, observer: number, peer: number): PeerView {
  return network.nodes[observer]!.core.view(peer, network.now)!;
}

function cut(network: VirtualNetwork, a: number, b: number): void {
  network.cut.add(a * 65536 + b);
  network.cut.add(b * 65536 + a);
}

/** The first time within `withinMs` that `what` holds, in steps of 10 ms; -1 for never. */
function after(network: VirtualNetwork, withinMs: number, what: () => boolean): number {
  const start = network.now;
  while (network.now - start < withinMs) {
    if (what()) return network.now - start;
    network.run(10);
  }
  return what() ? network.now - start : -1;
}

for (const size of [2, 3, 5]) {
  test(`${size} nodes: a dead one is avoided after about a second, suspected, down within 5 s; back at once`, () => {
    const network = new VirtualNetwork({ size, seed: size, ...calm });
    network.run(10_000);
    network.kill(0);
    const avoided = after(network, 3000, () => seen(network, 1, 0).avoided);
    assert.ok(avoided >= 600 && avoided <= 1400, `avoided after ${avoided} ms`);
    assert.notEqual(seen(network, 1, 0).status, 'down');
    assert.ok(after(network, 2000, () => seen(network, 1, 0).status === 'suspect') >= 0);
    const down = after(network, 5000, () => seen(network, 1, 0).status === 'down');
    assert.ok(down >= 0 && avoided + down < 5000, `down after ${avoided + down} ms`);
    const incarnation = seen(network, 1, 0).incarnation;
    network.revive(0);
    const back = after(network, 3000, () => !seen(network, 1, 0).avoided);
    assert.ok(back >= 0 && back <= 1000, `back after ${back} ms`);
    assert.equal(seen(network, 1, 0).status, 'alive');
    assert.ok(seen(network, 1, 0).incarnation > incarnation);
  });
}

test('a node frozen for 2 s is suspected and avoided but never down, and raises its incarnation', () => {
  const network = new VirtualNetwork({ size: 5, seed: 4, ...calm });
  network.run(10_000);
  const before = seen(network, 1, 0).incarnation;
  network.freeze(0, 2000);
  network.run(1900);
  assert.ok(seen(network, 1, 0).avoided);
  assert.ok(network.suspicions > 0);
  network.run(3000);
  assert.equal(network.falseDowns, 0);
  for (let peer = 1; peer < 5; peer++) {
    assert.equal(seen(network, peer, 0).status, 'alive');
    assert.ok(!seen(network, peer, 0).avoided);
    assert.ok(!seen(network, 0, peer).avoided);
    assert.ok(seen(network, peer, 0).incarnation > before);
  }
});

test('A and B cut off from each other, both seen by C: unreachable from here, alive through C', () => {
  const network = new VirtualNetwork({ size: 3, seed: 6, ...calm });
  network.run(10_000);
  cut(network, 0, 1);
  network.run(60_000);
  assert.equal(network.falseDowns, 0);
  assert.equal(network.suspicions, 0);
  const view = seen(network, 0, 1);
  assert.equal(view.status, 'alive');
  assert.ok(view.avoided);
  assert.equal(view.seenThrough, network.idOf(2));
  assert.ok(!seen(network, 0, 2).avoided);
  network.cut.clear();
  const healed = after(network, 3000, () => !seen(network, 0, 1).avoided && !seen(network, 1, 0).avoided);
  assert.ok(healed >= 0 && healed <= 1000, `used again after ${healed} ms`);
  assert.equal(seen(network, 0, 1).seenThrough, undefined);
});

test('one direction is cut: both sides avoid the link, nobody is suspected', () => {
  for (const size of [3, 30]) {
    const network = new VirtualNetwork({ size, seed: 16, ...calm });
    network.run(20_000);
    network.cut.add(0 * 65536 + 1);
    const avoided = after(network, 12_000, () => seen(network, 0, 1).avoided && seen(network, 1, 0).avoided);
    assert.ok(avoided >= 0, `avoided after ${avoided} ms`);
    network.run(20_000);
    assert.equal(network.suspicions, 0);
    assert.ok(seen(network, 0, 1).avoided && seen(network, 1, 0).avoided);
    network.cut.clear();
    const healed = after(network, 3000, () => !seen(network, 0, 1).avoided && !seen(network, 1, 0).avoided);
    assert.ok(healed >= 0 && healed <= 1000, `used again after ${healed} ms`);
  }
});

test('a member to which something was sent is asked out of turn, whatever the size of the cluster', () => {
  const noticed = (wanted: boolean): number => {
    const network = new VirtualNetwork({ size: 100, seed: 17, ...calm });
    network.run(20_000);
    network.cut.add(0 * 65536 + 1);
    network.cut.add(1 * 65536 + 0);
    if (wanted) network.nodes[0]!.core.wanted(1, network.now);
    return after(network, 15_000, () => seen(network, 0, 1).avoided);
  };
  const ms = noticed(true);
  assert.ok(ms >= 0 && ms <= 1700, `after ${ms} ms`);
  // The path is worth its keep: without it, it takes as long as the turn of the pings.
  assert.ok(noticed(false) > 1700);
});

test('the same among 30 nodes, where others are asked to probe', () => {
  const network = new VirtualNetwork({ size: 30, seed: 7, ...calm });
  network.run(20_000);
  cut(network, 0, 1);
  network.run(60_000);
  assert.equal(network.falseDowns, 0);
  assert.ok(seen(network, 0, 1).avoided);
  assert.notEqual(seen(network, 0, 1).seenThrough, undefined);
});

test('a node cut off from all calls them down, is called down, and is believed nothing when it is back', () => {
  const network = new VirtualNetwork({ size: 5, seed: 8, ...calm });
  network.run(10_000);
  for (let peer = 1; peer < 5; peer++) cut(network, 0, peer);
  network.run(10_000);
  for (let peer = 1; peer < 5; peer++) {
    assert.equal(seen(network, 0, peer).status, 'down');
    assert.equal(seen(network, peer, 0).status, 'down');
  }
  network.cut.clear();
  const healed = after(network, 3000, () => {
    for (let peer = 1; peer < 5; peer++) {
      if (seen(network, peer, 0).avoided || seen(network, 0, peer).avoided) return false;
      // Its rumours about the others harm nobody.
      for (let other = 1; other < 5; other++) {
        if (other !== peer) assert.equal(seen(network, peer, other).status, 'alive');
      }
    }
    return true;
  });
  assert.ok(healed >= 0 && healed <= 1000, `healed after ${healed} ms`);
  network.run(5000);
  for (let peer = 0; peer < 5; peer++) {
    for (let other = 0; other < 5; other++) {
      if (other !== peer) assert.equal(seen(network, peer, other).status, 'alive');
    }
  }
});

test('a third of 100 nodes dies at once: nearly all know of all within 8 s, everybody within 20 s', () => {
  const network = new VirtualNetwork({ size: 100, seed: 9, ...calm });
  network.run(20_000);
  for (let node = 0; node < 33; node++) network.kill(node);
  const unknown = (): number => {
    let count = 0;
    for (let observer = 33; observer < 100; observer++) {
      for (let node = 0; node < 100; node++) {
        if (node === observer) continue;
        const { status } = seen(network, observer, node);
        if (node >= 33) assert.notEqual(status, 'down', `${observer} takes ${node} for dead`);
        else if (status !== 'down') count++;
      }
    }
    return count;
  };
  network.run(8000);
  assert.ok(unknown() <= 0.01 * 33 * 67);
  network.run(12_000);
  assert.equal(unknown(), 0);
});

test('who says goodbye has left, at once, and is not suspected', () => {
  const network = new VirtualNetwork({ size: 5, seed: 10, ...calm });
  network.run(10_000);
  network.nodes[0]!.core.leave();
  network.run(500);
  network.kill(0);
  network.run(10_000);
  for (let peer = 1; peer < 5; peer++) assert.equal(seen(network, peer, 0).status, 'left');
  assert.equal(network.suspicions, 0);
  network.revive(0);
  network.run(3000);
  for (let peer = 1; peer < 5; peer++) assert.equal(seen(network, peer, 0).status, 'alive');
});

test('facts spread, newest last', () => {
  const network = new VirtualNetwork({ size: 30, seed: 11, ...calm });
  network.run(10_000);
  network.nodes[3]!.core.setFacts({
    epoch: 5,
    settledEpoch: 5,
    rebuildingSince: 1_600_000_000_000,
    hintFloor: 1_700_000_000_000,
  });
  network.run(5000);
  network.nodes[3]!.core.setFacts({
    epoch: 6,
    settledEpoch: 5,
    rebuildingSince: 0,
    hintFloor: 1_700_000_000_001,
  });
  network.run(5000);
  for (let peer = 0; peer < 30; peer++) {
    if (peer === 3) continue;
    const { epoch, rebuildingSince, hintFloor } = seen(network, peer, 3);
    assert.deepEqual(
      { epoch, rebuildingSince, hintFloor },
      { epoch: 6, rebuildingSince: 0, hintFloor: 1_700_000_000_001 },
    );
  }
});

/** A node that sleeps for `pauseMs`, with what the others sent behind its door: whom does it call down? */
function downsAfterPause(pauseMs: number, mutants: ReadonlySet<string>): number {
  const network = new VirtualNetwork({ size: 3, seed: 12, ...calm, mutants });
  network.run(10_000);
  // It is frozen, and the others too a little later: nothing new waits for it when it wakes.
  for (let node = 0; node < 3; node++) network.freeze(node, pauseMs + node * 150);
  let avoidances = 0;
  const end = pauseMs + 1000;
  for (let at = 0; at < end; at += 10) {
    network.run(10);
    for (let peer = 1; peer < 3; peer++) if (seen(network, 0, peer).avoided) avoidances++;
  }
  return network.falseDowns + avoidances;
}

test('after a pause of its own a node blames itself; mutant self-doubt-off is caught', () => {
  assert.equal(downsAfterPause(6000, new Set()), 0);
  assert.ok(downsAfterPause(6000, new Set(['self-doubt-off'])) > 0);
});

test('a node that is late all the time finds the dead too, in its own time', () => {
  let now = 0;
  const random = { u32: () => 0x1234_5678 };
  const actions = { ping() {}, pingRequest() {}, confirm() {}, changed() {}, refuted() {} };
  const times = membershipTimes(200, 1000);
  const options = { self: 'a', members: ['a', 'b'], incarnation: 1, times, random };
  const core = new Membership(options, actions, now);
  const status = (): string => core.view(1, now)!.status;
  while (status() !== 'down' && now < 60_000) {
    now = core.dueAt + 150;
    core.tick(now);
  }
  assert.ok(now > 5000 && now < 20_000, `down after ${now} ms`);
});

/** A cut between two nodes that a third sees, and a short freeze: nobody may be called down. */
function downsWithoutReason(mutants: ReadonlySet<string>): number {
  const network = new VirtualNetwork({ size: 3, seed: 13, ...calm, mutants });
  network.run(10_000);
  network.freeze(0, 2000);
  network.run(5000);
  return network.falseDowns;
}

test('mutant down-without-probe is caught by a freeze of 2 s', () => {
  assert.equal(downsWithoutReason(new Set()), 0);
  assert.ok(downsWithoutReason(new Set(['down-without-probe'])) > 0);
});

/** How often an observer goes back to a life it knew to be over, while a node comes back again and again. */
function stepsBack(mutants: ReadonlySet<string>): number {
  const network = new VirtualNetwork({ size: 10, seed: 14, ...calm, mutants });
  network.run(10_000);
  const newest = Array.from({ length: 10 }, () => 0);
  let back = 0;
  for (let life = 0; life < 3; life++) {
    network.kill(0);
    network.run(6000);
    network.revive(0);
    for (let step = 0; step < 200; step++) {
      network.run(10);
      for (let peer = 1; peer < 10; peer++) {
        const { incarnation } = seen(network, peer, 0);
        if (incarnation < newest[peer]!) back++;
        newest[peer] = incarnation;
      }
    }
  }
  return back;
}

test('an old life never returns; mutant gossip-old-incarnation-wins is caught', () => {
  assert.equal(stepsBack(new Set()), 0);
  assert.ok(stepsBack(new Set(['gossip-old-incarnation-wins'])) > 0);
});

test('one seed is one run', () => {
  const run = (): number[] => {
    const network = new VirtualNetwork({ size: 7, seed: 15, loss: 0.05, freezeEveryMs: 10_000 });
    network.run(60_000);
    return [network.bytesSent, network.messagesSent, network.suspicions, network.freezes];
  };
  assert.deepEqual(run(), run());
});
