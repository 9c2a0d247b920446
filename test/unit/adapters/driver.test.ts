import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SystemClock } from '../../../src/adapters/clock.ts';
import { NodeDriver } from '../../../src/adapters/driver.ts';
import { delay, until } from '../../support/wait.ts';

const clock = new SystemClock();

describe('NodeDriver', () => {
  it('ends one turn for many wakes, then flushes the doors', async () => {
    const order: string[] = [];
    const driver = new NodeDriver({ clock });
    driver.onTurnEnd(() => order.push('flush 1'));
    driver.onTurnEnd(() => order.push('flush 2'));
    driver.start({ endTurn: () => order.push('turn'), tick: () => {}, isQuiet: false });
    await delay(5);
    order.length = 0;
    for (let i = 0; i < 100; i++) driver.wake();
    assert.deepEqual(order, []);
    await delay(5);
    assert.deepEqual(order, ['turn', 'flush 1', 'flush 2']);
    driver.stop();
  });

  it('ends another turn for a wake from within a turn or a flush', async () => {
    let turns = 0;
    const driver = new NodeDriver({ clock });
    driver.onTurnEnd(() => {
      if (turns === 3) driver.wake();
    });
    driver.start({
      endTurn: () => {
        turns += 1;
        if (turns < 3) driver.wake();
      },
      tick: () => {},
      isQuiet: false,
    });
    await until(() => turns === 4, 'four turns');
    await delay(10);
    assert.equal(turns, 4);
    driver.stop();
  });

  it('ticks, and measures how late the event loop is', async () => {
    let ticks = 0;
    const driver = new NodeDriver({ clock, tickMs: 5 });
    driver.start({ endTurn: () => {}, tick: () => (ticks += 1), isQuiet: false });
    await until(() => ticks >= 3, 'ticks come');
    driver.takeLagMaxMs();
    const end = performance.now() + 60;
    while (performance.now() < end);
    await delay(10);
    assert.ok(driver.takeLagMaxMs() >= 40);
    driver.stop();
    const before = ticks;
    await delay(20);
    assert.equal(ticks, before);
  });

  it('ticks less often while the node is quiet, and at once as often when a turn finds it busy', async () => {
    let ticks = 0;
    const node = { endTurn: () => {}, tick: () => (ticks += 1), isQuiet: true };
    const driver = new NodeDriver({ clock, tickMs: 2, quietTickMs: 200 });
    driver.start(node);
    await until(() => ticks >= 4, 'quiet ticks');
    ticks = 0;
    await delay(100);
    assert.equal(ticks, 0);
    driver.wake();
    await delay(10);
    assert.equal(ticks, 0, 'a turn alone is no reason');
    driver.takeLagMaxMs();
    node.isQuiet = false;
    driver.wake();
    await until(() => ticks >= 5, 'ticks of a busy node', 1000);
    assert.ok(driver.takeLagMaxMs() < 100, 'what it rested is no lag');
    node.isQuiet = true;
    await delay(100);
    ticks = 0;
    node.isQuiet = false;
    await until(() => ticks >= 5, 'a tick finds it busy too', 1000);
    driver.stop();
  });

  it('runs the turn that was asked for when it stops, and none after', async () => {
    let turns = 0;
    const driver = new NodeDriver({ clock });
    driver.start({ endTurn: () => (turns += 1), tick: () => {}, isQuiet: false });
    driver.stop();
    assert.equal(turns, 1);
    driver.wake();
    await delay(5);
    assert.equal(turns, 1);
  });
});
