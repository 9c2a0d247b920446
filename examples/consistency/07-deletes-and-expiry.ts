/**
 * Deletes and expiry where copies can be away: a delete leaves a mark (a tombstone) that tells an absent replica
 * that what it still holds is dead. The time at which a value expires is part of the value, so every replica sees
 * it die by itself.
 *
 * `npx node examples/consistency/07-deletes-and-expiry.ts`
 */

import { setTimeout as delay } from 'node:timers/promises';
import { Lab } from '../../test/nemesis/lab.ts';

const policies = { 'any:': 'PA/EL', 'set:': 'PA/EL SIBLINGS' };
const ttlMs = 2000;

await Lab.run({ policies }, async (lab) => {
  const type = (node: number, command: string): Promise<unknown> => lab.type(node, ...command.split(' '));

  lab.say('Four keys, on all three nodes.');
  for (const key of ['any:dead', 'any:raced', 'any:short', 'set:raced']) await type(1, `SET ${key} old`);
  const seen = await lab.typeGet(1, 'set:raced');

  await lab.cut([1, 2], [3]);
  lab.say('Deleted on one side. The other side has not heard of it, and shows the old value.');
  await type(1, 'DEL any:dead');
  await type(1, 'GET any:dead');
  await type(3, 'GET any:dead');
  lab.say(
    'Deleted on one side, and after that written on the other. Once by last-write-wins, once with siblings.',
  );
  await type(1, 'DEL any:raced');
  await type(3, 'SET any:raced new');
  await lab.type(1, 'DURE.DEL', 'set:raced', 'CONTEXT', seen);
  await lab.type(3, 'DURE.SET', 'set:raced', 'new', 'CONTEXT', seen);
  lab.say(`Given a time to live of ${ttlMs / 1000} s on one side.`);
  await type(1, `SET any:short new PX ${ttlMs}`);

  await lab.heal();
  lab.say('The delete reached n3, not the old value n1: any:dead stays dead on all nodes.');
  for (const node of [1, 2, 3]) await type(node, 'GET any:dead');
  lab.say(
    'The later write wins over an earlier delete. As siblings it wins because the delete had not seen it.',
  );
  await type(2, 'GET any:raced');
  await lab.typeGet(2, 'set:raced');

  await delay(ttlMs);
  lab.say('Expired, on n3 too, which heard of the new value after the cut: the old one does not come back.');
  for (const node of [1, 2, 3]) await type(node, 'GET any:short');
});
