import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { PinoLog, type PinoLogOptions } from '../../../src/adapters/pino-log.ts';

const directory = mkdtempSync(join(tmpdir(), 'dure-log-'));
after(() => rmSync(directory, { recursive: true }));

async function lines(
  options: Omit<PinoLogOptions, 'nodeId' | 'descriptor'>,
  write: (log: PinoLog) => void,
): Promise<string[]> {
  const path = join(directory, 'log');
  const descriptor = openSync(path, 'w');
  const log = await PinoLog.open({ ...options, nodeId: 'n1', descriptor });
  write(log);
  log.flush();
  closeSync(descriptor);
  return readFileSync(path, 'utf8').trim().split('\n');
}

describe('PinoLog', () => {
  it('writes one JSON object a line, with the node, the event and its fields', async () => {
    const [first, second, ...rest] = await lines({ level: 'info', format: 'auto' }, (log) => {
      log.write('debug', 'too-small');
      log.write('info', 'peer-up', { peer: 'n2', bytes: 7 });
      log.write('alarm', 'clock-ahead');
    });
    assert.deepEqual(rest, []);
    const { level, node, event, peer, bytes, time } = JSON.parse(first!);
    assert.deepEqual([level, node, event, peer, bytes], ['info', 'n1', 'peer-up', 'n2', 7]);
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
    const alarm = JSON.parse(second!);
    assert.deepEqual([alarm.level, alarm.event, alarm.alarm], ['error', 'clock-ahead', true]);
  });

  it('writes a line for people when asked to', async () => {
    const [line] = await lines({ level: 'debug', format: 'pretty' }, (log) => {
      log.write('warn', 'peer-lost', { peer: 'n3', reason: 'silent' });
    });
    assert.match(line!, /^\[\d\d:\d\d:\d\d\.\d+\] WARN: peer-lost \{"peer":"n3","reason":"silent"\}$/);
  });
});
