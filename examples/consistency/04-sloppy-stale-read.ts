/**
 * What R+W>N does not promise under a sloppy quorum: stand-ins acknowledge a write on one side of a cut, the
 * replicas answer reads on the other. Five nodes, so that a key has three replicas and two nodes are none.
 *
 * `npx node examples/consistency/04-sloppy-stale-read.ts`
 */

import { Lab, nameOf } from '../../test/nemesis/lab.ts';

const policies = { 'sloppy:': 'R=2 W=2 SLOPPY', 'strict:': 'R=2 W=2 STRICT' };

await Lab.run({ nodes: 5, policies }, async (lab) => {
  // What stands in braces decides where a key lies.
  const [sloppy, strict] = ['sloppy:{account}', 'strict:{account}'];
  const replicas = (await lab.replicasOf(sloppy)).toSorted();
  const others = [1, 2, 3, 4, 5].filter((node) => !replicas.includes(node));
  const [near, far] = [replicas[0]!, others[0]!];

  lab.say(`Both keys have their replicas on ${replicas.map(nameOf).join(', ')}. Both have R=2 and W=2, so R+W>N. One
    quorum is sloppy (as in PA/EC, the default), the other strict (as in PC/EC).`);
  await lab.type(near, 'SET', sloppy, 'first');
  await lab.type(near, 'SET', strict, 'first');

  await lab.cut(replicas, others);
  lab.say(
    'Sloppy: the two nodes without the key stand in for its replicas. Two acknowledgements: W=2 is met.',
  );
  await lab.type(far, 'SET', sloppy, 'second');

  lab.say(
    'Two replicas answer the read: R=2 is met. None of them has heard of the write that was acknowledged.',
  );
  await lab.type(near, 'GET', sloppy);

  lab.say('Strict: stand-ins do not count. The write is refused, and so the read is right.');
  await lab.type(far, 'SET', strict, 'second');
  await lab.type(near, 'GET', strict);

  await lab.heal();
  lab.say('The stand-ins hand over what they kept: the write was late, and it is not lost.');
  await lab.type(near, 'GET', sloppy);
  await lab.type(near, 'GET', strict);
});
