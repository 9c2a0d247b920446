/**
 * CAP: while the network is cut, a side that cannot reach enough replicas must either answer all the same (and
 * differ from the other side) or refuse. The policy of the key chooses: PA answers, PC refuses.
 *
 * `npx node examples/consistency/02-partition.ts`
 */

import { Lab } from '../../test/nemesis/lab.ts';

const policies = { 'cache:': 'PA/EL', 'session:': 'PA/EC', 'item:': 'PC/EL', 'seat:': 'PC/EC' };

await Lab.run({ policies }, async (lab) => {
  const write = (node: number, key: string, value: string): Promise<unknown> =>
    lab.type(node, 'SET', key, value);
  const read = (node: number, key: string): Promise<unknown> => lab.type(node, 'GET', key);

  lab.say('Four keys, each under a prefix with a policy of its own, written while all is well.');
  for (const key of ['cache:a', 'session:a', 'item:a', 'seat:a']) await write(1, key, 'before');

  await lab.cut([1, 2], [3]);
  lab.say(
    'PC/EC: the side with two of three replicas goes on. The other side refuses, and says that nothing was done.',
  );
  await write(1, 'seat:a', 'ann');
  await read(2, 'seat:a');
  await write(3, 'seat:a', 'bob');
  await read(3, 'seat:a');

  lab.say(
    'PC/EL: writes as above, so the sides never diverge. A read asks one replica, and on n3 it is a stale one.',
  );
  await write(1, 'item:a', 'price=2');
  await write(3, 'item:a', 'price=3');
  await read(3, 'item:a');

  lab.say('PA/EL: both sides answer, and from now on they differ.');
  await write(1, 'cache:a', 'left');
  await write(3, 'cache:a', 'right');
  await read(1, 'cache:a');
  await read(3, 'cache:a');

  lab.say(`PA/EC wants two acknowledgements, and others may stand in for replicas that are away. Beside n3 there is
    nobody: with as many nodes as replicas PA/EC can do no more than PC/EC. (04-sloppy-stale-read.ts has five nodes.)`);
  await write(1, 'session:a', 'left');
  await write(3, 'session:a', 'right');

  await lab.heal();
  lab.say(`What was acknowledged on the one side that went on is everywhere, and what was refused is nowhere. Of
    cache:a both writes were acknowledged: the later one won, and the other is gone.`);
  for (const key of ['seat:a', 'item:a', 'session:a', 'cache:a']) await read(3, key);
});
