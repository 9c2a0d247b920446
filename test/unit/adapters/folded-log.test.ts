/** One cause, one alarm: what is folded, what is counted, and what must go through. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FOLD_MS, FoldedLog } from '../../../src/adapters/folded-log.ts';
import type { LogFields, LogLevel } from '../../../src/ports/log.ts';

class Bench {
  now = 1000;
  readonly lines: string[] = [];
  readonly log: FoldedLog = new FoldedLog(
    {
      write: (level: LogLevel, event: string, fields: LogFields = {}): void => {
        const said = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
        this.lines.push([level, event, ...said].join(' '));
      },
      flush: (): void => void this.lines.push('flushed'),
    },
    { monotonic: () => this.now },
  );
}

describe('alarms of one cause', () => {
  it('a damaged table, told by five, is one alarm; the others say what they follow', () => {
    const { log, lines } = new Bench();
    log.write('alarm', 'storage-failed', { error: 'table 5' });
    log.write('alarm', 'storage-failed', { message: 'storage has failed' });
    log.write('alarm', 'storage-set-aside', { keptIn: 'damaged-1' });
    log.write('alarm', 'storage-loss-found');
    log.write('alarm', 'disk-lost-rows', { generation: 1 });
    log.flush();
    assert.deepEqual(lines, [
      'alarm storage-failed error=table 5',
      'warn storage-set-aside keptIn=damaged-1 follows=storage-failed',
      'warn storage-loss-found follows=storage-failed',
      'warn disk-lost-rows generation=1 follows=storage-failed',
      'warn alarm-repeated alarm=storage-failed times=1 of=storage',
      'flushed',
    ]);
  });

  it('the same over again is counted, and told when its minute is over; then it is an alarm again', () => {
    const bench = new Bench();
    for (let i = 0; i < 1000; i++) bench.log.write('alarm', 'row-refused-clock', { peer: 'n2' });
    bench.now += FOLD_MS - 1;
    bench.log.write('alarm', 'row-refused-clock', { peer: 'n2' });
    bench.log.write('info', 'peer-up');
    bench.now += 1;
    bench.log.write('info', 'peer-up');
    bench.log.write('alarm', 'row-refused-clock', { peer: 'n2' });
    assert.deepEqual(bench.lines, [
      'alarm row-refused-clock peer=n2',
      'info peer-up',
      'warn alarm-repeated alarm=row-refused-clock times=1000 of=row-refused-clock n2',
      'info peer-up',
      'alarm row-refused-clock peer=n2',
    ]);
  });

  it('other causes go through: another event, another peer, another target, another prefix of keys', () => {
    const { log, lines } = new Bench();
    log.write('alarm', 'row-damaged');
    log.write('alarm', 'storage-failed');
    for (const peer of ['n2', 'n3']) log.write('alarm', 'row-refused-clock', { peer });
    for (const target of ['n2', 'n3']) log.write('alarm', 'hint-damaged', { target });
    for (const prefix of ['cart:', 'list:']) log.write('alarm', 'siblings-full', { prefix });
    assert.equal(lines.length, 8);
    assert.ok(lines.every((line) => line.startsWith('alarm ')));
  });

  it('follows so many causes and no more: past that nothing is folded', () => {
    const { log, lines } = new Bench();
    for (let i = 0; i < 300; i++) log.write('alarm', 'hint-damaged', { target: `n${i}` });
    for (let i = 0; i < 300; i++) log.write('alarm', 'hint-damaged', { target: `n${i}` });
    assert.equal(lines.length, 300 + 44);
  });
});
