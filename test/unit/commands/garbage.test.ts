import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import { FakeClient, fakeServer, showReply } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

const words = [
  ...['', '0', '-1', '1', '9223372036854775807', '-9223372036854775808', '1e400', 'nan', 'x'.repeat(3000)],
  ...[
    'NX',
    'XX',
    'GET',
    'EX',
    'PX',
    'MATCH',
    'COUNT',
    'TYPE',
    'ID',
    'AUTH',
    'SETNAME',
    'DB',
    'REPLACE',
    'yes',
  ],
  ...[
    'FILTERBY',
    'ACLCAT',
    'PATTERN',
    'get',
    'client',
    '[',
    '*?[^',
    '\r\n',
    '\0',
    'everything',
    'on',
    'ADDR',
  ],
];

describe('garbage', () => {
  it('is always answered once, and never throws, whatever the node does', () => {
    const random = new Prng(7);
    for (let round = 0; round < 40; round++) {
      const node = new FakeNode(random.between(1, 5), 5000);
      const { dispatcher, facts } = fakeServer(node);
      for (const command of dispatcher.context.table.all) {
        const client = new FakeClient(dispatcher, facts);
        const args = [
          ...command.fullName.split('|'),
          ...Array.from({ length: random.below(8) }, () => word(random)),
        ];
        if (random.chance(0.3)) {
          node.failures.push(
            new CodedError('quorum-unreachable', random.pick(['fail', 'unknown', 'none']), 'x'),
          );
        }
        const answer = client.send(args);
        while (facts.checks.length > 0) {
          node.now += 1_000_000_000_000;
          client.session.closed = true;
          facts.tick();
        }
        assert.equal(answer.pending, false, args.join(' '));
        for (const protocol of [2, 3] as const) assert.ok(showReply(answer.reply, protocol).length > 0);
        facts.open.length = 0;
        node.failures.length = 0;
        node.now = 1_700_000_000_000;
      }
    }
  });
});

function word(random: Prng): Uint8Array {
  if (random.chance(0.2)) return Uint8Array.from({ length: random.below(20) }, () => random.below(256));
  return utf8Bytes(random.pick(words));
}
