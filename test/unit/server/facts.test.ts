import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { Prng } from '../../../src/base/prng.ts';
import { ProcessFacts, type ProcessFactsOptions } from '../../../src/server/facts.ts';
import { command, openDoor } from '../../support/resp-door.ts';
import { delay, until } from '../../support/wait.ts';

const options: ProcessFactsOptions = {
  version: '1.2.3',
  configFile: '/etc/dure.yaml',
  random: new Prng(1),
  storage: {
    engine: 'memory',
    durable: false,
    durability: 'interval',
    memoryBytesMax: 0,
    eviction: 'noeviction',
  },
};

test('the password: only the right one, of the one user', () => {
  const facts = new ProcessFacts({ ...options, password: 'pässword' });
  assert.equal(facts.passwordRequired, true);
  assert.equal(facts.passwordMatches('default', utf8Bytes('pässword')), true);
  for (const guess of ['', 'p', 'pässwor', 'pässword ', 'pässworD', 'x'.repeat(10_000)]) {
    assert.equal(facts.passwordMatches('default', utf8Bytes(guess)), false, guess.slice(0, 20));
  }
  assert.equal(facts.passwordMatches('admin', utf8Bytes('pässword')), false);
});

test('without a password none is required, and any is right', () => {
  const facts = new ProcessFacts(options);
  assert.equal(facts.passwordRequired, false);
  assert.equal(facts.passwordMatches('default', utf8Bytes('x')), true);
  assert.equal(facts.passwordMatches('admin', utf8Bytes('x')), false);
});

test('the run id is 40 hex digits and differs', () => {
  const random = new Prng(2);
  const [one, two] = [new ProcessFacts({ ...options, random }), new ProcessFacts({ ...options, random })];
  assert.match(one.runId, /^[0-9a-f]{40}$/);
  assert.notEqual(one.runId, two.runId);
});

test('a check is polled on later turns until it is true, then no more', async () => {
  const facts = new ProcessFacts(options);
  let first = 0;
  let second = 0;
  facts.poll(() => ++first === 3);
  facts.poll(() => {
    second++;
    if (second === 1) facts.poll(() => ++second > 0);
    return true;
  });
  assert.equal(first + second, 0);
  await until(() => first === 3 && second === 2, 'all checks are done');
  await delay(30);
  assert.deepEqual([first, second], [3, 2]);
  facts.poll(() => ++first < 0);
  facts.close();
  await delay(20);
  assert.equal(first, 3);
});

test('figures and sessions come from the process and the server', async () => {
  const facts = new ProcessFacts(options);
  assert.deepEqual([...facts.sessions()], []);
  const door = await openDoor({ limits: { clientsMax: 7 } });
  try {
    facts.attach(door.server);
    const [one, two] = [await door.connect(), await door.connect()];
    for (const client of [one, two]) {
      client.send(command('ECHO', 'a'));
      await client.expect('$1\r\na\r\n');
    }
    assert.deepEqual(
      [...facts.sessions()].map((session) => session.id),
      [1, 2],
    );
    const figures = facts.figures();
    assert.equal(figures.processId, process.pid);
    assert.equal(figures.tcpPort, door.port);
    assert.equal(figures.clientsMax, 7);
    assert.equal(figures.connectionsReceived, 2);
    assert.equal(figures.outputBytes, 14);
    assert.ok(figures.memoryResidentBytes > 1e6 && figures.memoryResidentPeakBytes > 1e6);
    assert.ok(figures.cpuUserSeconds > 0);
    facts.resetFigures();
    assert.equal(facts.figures().connectionsReceived, 0);
  } finally {
    await door.close();
  }
});
