/**
 * Siblings: concurrent writes are kept side by side until somebody who has seen them writes one value in their
 * place. What he has seen travels in the causal context that a read gives and the write hands back.
 *
 * `npx node examples/consistency/03-siblings.ts`
 */

import { Lab } from '../../test/nemesis/lab.ts';

const policies = { 'cart:': 'PA/EL SIBLINGS' };

await Lab.run({ policies }, async (lab) => {
  const key = 'cart:7';
  const write = (node: number, value: string, context: string): Promise<unknown> =>
    lab.type(node, 'DURE.SET', key, value, 'CONTEXT', context);

  lab.say(
    'Two clients read the same cart, and each writes it back with one thing more. No fault, just bad luck.',
  );
  await lab.type(1, 'SET', key, 'eggs');
  const byAnn = await lab.typeGet(1, key);
  await lab.quiet();
  const byBob = await lab.typeGet(2, key);
  await write(1, 'eggs+milk', byAnn);
  await write(2, 'eggs+tea', byBob);

  await lab.quiet();
  lab.say('Neither had seen what the other wrote, so both are there. Both had seen "eggs", so that is gone.');
  const both = await lab.typeGet(3, key);

  lab.say(
    'Whoever reads both can merge them. The context says what was seen, and that is what the write replaces.',
  );
  await write(3, 'eggs+milk+tea', both);
  await lab.quiet();
  await lab.typeGet(1, key);

  lab.say('The same over a cut network, where each side does not know of the other.');
  const before = await lab.typeGet(2, key);
  await lab.cut([1, 2], [3]);
  await write(1, 'eggs+milk+tea+jam', before);
  await write(3, 'eggs+milk+tea+rice', before);
  await lab.heal();
  const after = await lab.typeGet(2, key);

  lab.say(
    'A plain GET can show one value only: the newest by the clock. (SIBLINGS-READ=ERROR makes it refuse instead.)',
  );
  await lab.type(2, 'GET', key);

  lab.say('A write without a context has seen nothing, so it replaces nothing: one sibling more.');
  await lab.type(2, 'SET', key, 'soap');
  await lab.quiet();
  await lab.typeGet(2, key);

  lab.say(
    'A delete with the context from before deletes what that client saw, and not the soap it never saw.',
  );
  await lab.type(1, 'DURE.DEL', key, 'CONTEXT', after);
  await lab.quiet();
  await lab.typeGet(3, key);
});
