/** The command line of the simulator: what cannot be used is refused, since a sweep over no seeds never fails. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFlags, USAGE, UsageError } from '../../../sim/flags.ts';
import { run } from '../../support/process.ts';

test('a number that is none is refused, and so is a flag that is not known', () => {
  for (const [argv, words] of [
    [['--seeds', '1k'], /--seeds 1k: expected a whole number from 1/],
    [['--seeds', '0'], /--seeds 0: expected a whole number from 1/],
    [['--seed', '-1'], /./],
    [['--from', ''], /--from : expected a whole number from 0/],
    [['--workers', '2.5'], /--workers 2.5: expected/],
    [['--sedes', '5'], /--sedes/],
    [['5'], /5/],
  ] as const) {
    assert.throws(
      () => readFlags(argv),
      (error: unknown) => error instanceof UsageError && words.test(error.message),
      argv.join(' '),
    );
  }
  assert.equal(readFlags(['--seeds', '1000', '--from', '0']).seeds, '1000');
});

test('the process says how it is used, and ends with 2 where it cannot be', async () => {
  const sim = [process.execPath, 'sim/main.ts'];
  const help = await run([...sim, '--help']);
  assert.deepEqual([help.code, help.stdout], [0, `${USAGE}\n`]);
  const mistake = await run([...sim, '--seeds', 'many']);
  assert.equal(mistake.code, 2);
  assert.match(mistake.stderr, /^sim: --seeds many: expected a whole number from 1\n\nnpm run sim -- /);
});
