/** `dure policy`: whom it asks, what it says, and how it tells that nodes differ: against small HTTP servers. */

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import type { Outcome } from '../../../src/base/errors.ts';
import type { PoliciesAnswer, PolicyJson } from '../../../src/http/api/policies.ts';
import { type ProblemCode, problemBody } from '../../../src/http/api/problem.ts';
import { runPolicyChange, runPolicyList } from '../../../src/main/policy.ts';
import { differencesOf, groupPolicies, renderPolicies, shownPrefix } from '../../../src/main/policy-view.ts';
import { clusterView } from '../../../src/main/status-view.ts';
import type { PoliciesStatus } from '../../../src/node/status.ts';
import { Statuses } from '../../support/statuses.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Reply {
  readonly status: number;
  readonly body: unknown;
}
interface Asked {
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly authorization: string | undefined;
}
type Answering = (asked: Asked) => Reply | 'cut';

/** Three nodes, and what was asked of them. */
async function cluster(
  answering: Answering,
  statuses: Statuses = new Statuses(),
): Promise<{ asked: Asked[]; node: string }> {
  const asked: Asked[] = [];
  const ports: number[] = [];
  for (const status of statuses.answers) {
    const server = createServer(async (request: IncomingMessage, response) => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      const { method = '', url = '', headers } = request;
      if (url === '/status') {
        response.end(JSON.stringify(status));
        return;
      }
      const call: Asked = { id: status.node, method, url, body, authorization: headers.authorization };
      asked.push(call);
      const reply = answering(call);
      if (reply === 'cut') response.destroy();
      else
        response
          .writeHead(reply.status, { 'content-type': 'application/json' })
          .end(JSON.stringify(reply.body));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    closers.push(() => {
      server.closeAllConnections();
      server.close();
    });
    ports.push((server.address() as AddressInfo).port);
  }
  for (const { members } of statuses.answers)
    for (const [i, member] of members.entries()) member.httpPort = ports[i]!;
  return { asked, node: `127.0.0.1:${ports[0]}` };
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly complaints: string;
}

async function ran(
  run: (out: { write(text: string): void }, complain: { write(text: string): void }) => Promise<number>,
): Promise<Ran> {
  let out = '';
  let complaints = '';
  const code = await run(
    {
      write: (text) => {
        out += text;
      },
    },
    {
      write: (text) => {
        complaints += text;
      },
    },
  );
  return { code, out, complaints };
}

interface Given {
  readonly json?: boolean;
  readonly environment?: NodeJS.ProcessEnv;
}

const options = (node: string, { json = false, environment = {} }: Given = {}) => ({
  node,
  config: '',
  dataDir: '/nonexistent',
  environment,
  json,
});

function change(node: string, prefix: string, words: string | undefined, given?: Given): Promise<Ran> {
  return ran((out, complain) => runPolicyChange({ ...options(node, given), prefix, words }, out, complain));
}

function list(node: string, given?: Given): Promise<Ran> {
  return ran((out, complain) => runPolicyList(options(node, given), out, complain));
}

const problem = (code: ProblemCode, outcome: Outcome, message: string): Reply => {
  const body = problemBody({ code, outcome, message }, false);
  return { status: body.status, body };
};

const numbers = {
  r: 2,
  w: 2,
  quorum: 'sloppy',
  conflicts: 'last-write-wins',
  siblingsRead: 'newest',
  ttl: '0',
} as const;
const byDefault: PolicyJson = { prefix: '', policy: 'PA/EC', ...numbers, origin: 'default' };
const known: PoliciesStatus = {
  atRunTime: 1,
  changedAt: 1_700_000_000_000,
  fingerprint: 'aa',
  inForce: 'bb',
};
const told = (id: string, policies: readonly PolicyJson[], of: PoliciesStatus = known) => ({
  id,
  address: `${id}:8371`,
  answer: { node: id, replicas: 3, policies, known: of } satisfies PoliciesAnswer,
  problem: '',
});

describe('dure policy set and unset', () => {
  it('asks one node, with the prefix to the letter, and says who was missed', async () => {
    const { asked, node } = await cluster(({ method }) => ({
      status: 200,
      body:
        method === 'PUT'
          ? { prefix: 'a/b ä', policy: 'PC/EC', acknowledged: ['n1', 'n2'], missed: ['n3'] }
          : { prefix: '', acknowledged: ['n1', 'n2', 'n3'], missed: [] },
    }));
    const set = await change(node, 'a/b ä', 'PC/EC');
    assert.deepEqual(
      asked.map(({ id, method, url, body }) => [id, method, url, body]),
      [['n1', 'PUT', '/v1/policies/a%2Fb%20%C3%A4', '"PC/EC"']],
    );
    assert.equal(set.code, 0);
    assert.match(
      set.out,
      /^PC\/EC for keys that begin with "a\/b \\xc3\\xa4", on n1, n2\.\nMissed: n3\. It goes by/,
    );
    const unset = await change(node, '', undefined);
    assert.deepEqual([asked[1]!.method, asked[1]!.url, asked[1]!.body], ['DELETE', '/v1/policies/', '']);
    assert.equal(unset.out, 'As configured again for keys without a rule of their own, on n1, n2, n3.\n');
    const json = await change(node, '', undefined, { json: true });
    assert.deepEqual(JSON.parse(json.out), {
      node: 'n1',
      prefix: '',
      acknowledged: ['n1', 'n2', 'n3'],
      missed: [],
    });
  });

  it('asks the next node only where the first did nothing and another may do better', async () => {
    const done: Reply = {
      status: 200,
      body: { prefix: 'a', policy: 'PC/EC', acknowledged: ['n2'], missed: [] },
    };
    const cases: readonly (readonly [Reply | 'cut', asks: number, code: number, RegExp])[] = [
      [problem('unavailable', 'fail', 'it is stopping'), 2, 0, /^$/],
      [problem('clock-offset', 'fail', 'its clock'), 2, 0, /^$/],
      [
        problem('invalid', 'none', 'W=4 is impossible with N=3'),
        1,
        1,
        /^dure: W=4 is impossible with N=3\n$/,
      ],
      [problem('storage-failed', 'unknown', 'the disk'), 1, 1, /^dure: n1 \(.*\): the disk\n$/],
      [problem('unauthorized', 'none', 'password'), 1, 1, /--config, or set DURE_PASSWORD/],
      [{ status: 404, body: { error: 'no such page' } }, 2, 0, /^$/],
      ['cut', 1, 1, /n1 .*: .*; it may have taken the change, or not\n$/],
    ];
    for (const [reply, asks, code, words] of cases) {
      const { asked, node } = await cluster(({ id }) => (id === 'n1' ? reply : done));
      const result = await change(node, 'a', 'PC/EC');
      assert.equal(asked.length, asks, JSON.stringify(reply));
      assert.equal(result.code, code);
      assert.match(result.complaints, words);
    }
  });

  it('tells a password that is wrong from one that is missing', async () => {
    const { node } = await cluster(() => problem('unauthorized', 'none', 'password'));
    const wrong = await change(node, 'a', 'PC/EC', { environment: { DURE_PASSWORD: 'guess' } });
    assert.match(wrong.complaints, /does not take this password/);
  });

  it('says where the data API is switched off, and how it goes without', async () => {
    for (const body of [{ error: 'no such page' }, problem('no-such-page', 'fail', 'no page').body]) {
      const { asked, node } = await cluster(() => ({ status: 404, body }));
      const { code, complaints } = await change(node, 'a', 'PC/EC');
      assert.equal(code, 1);
      assert.equal(asked.length, 3, 'another node may have it switched on');
      assert.match(complaints, /n3 .*http\.api.*DURE\.POLICY at its Redis port does the same\n$/);
    }
  });

  it('shows the password of the environment', async () => {
    const body = { prefix: '', policy: 'PC/EC', acknowledged: ['n1'], missed: [] };
    const { asked, node } = await cluster(() => ({ status: 200, body }));
    await change(node, '', 'PC/EC', { environment: { DURE_PASSWORD: 'secret' } });
    assert.equal(asked[0]!.authorization, 'Bearer secret');
  });

  it('says what is wrong where nobody answers, or nobody serves', async () => {
    const silent = await change('127.0.0.1:1', 'a', 'PC/EC');
    assert.equal(silent.code, 1);
    assert.match(silent.complaints, /no node answers:\n {2}127\.0\.0\.1:1: nothing listens there/);
    const statuses = new Statuses();
    for (const answer of statuses.answers) answer.fault = 'it is starting';
    const { asked, node } = await cluster(() => 'cut', statuses);
    const none = await change(node, 'a', 'PC/EC');
    assert.equal(asked.length, 0);
    assert.match(none.complaints, /no node takes requests now/);
  });
});

describe('dure policy list', () => {
  it('asks every node, and writes what all go by once', async () => {
    const { asked, node } = await cluster(({ id }) => {
      if (id === 'n3') return 'cut';
      return { status: 200, body: { node: id, replicas: 3, policies: [byDefault], known } };
    });
    const shown = await list(node);
    assert.deepEqual(asked.map(({ id, url }) => `${id} ${url}`).sort(), [
      'n1 /v1/policies',
      'n2 /v1/policies',
      'n3 /v1/policies',
    ]);
    assert.equal(shown.code, 0);
    assert.equal(
      shown.out,
      'PREFIX     POLICY  R  W  QUORUM  CONFLICTS        TTL  SET\n' +
        '(default)  PA/EC   2  2  sloppy  last-write-wins  -    default\n',
    );
    assert.match(shown.complaints, /^dure: n3 .*: the connection was cut\n$/);
    const { policies, nodes, agreed } = JSON.parse((await list(node, { json: true })).out);
    assert.equal(agreed, true);
    assert.deepEqual(policies, [{ ...byDefault, nodes: ['n1', 'n2'] }]);
    assert.deepEqual(
      nodes.map(({ id, known: of }: { id: string; known: unknown }) => [id, of]),
      [
        ['n1', known],
        ['n2', known],
        ['n3', null],
      ],
    );
  });

  it('shows both where nodes differ, and says why', () => {
    const now = known.changedAt + 60_000;
    const setAt = new Date(known.changedAt).toISOString();
    const cart: PolicyJson = {
      ...numbers,
      prefix: 'cart:',
      policy: 'PC/EC',
      quorum: 'strict',
      origin: 'run-time',
      setAt,
    };
    const old = { ...known, changedAt: known.changedAt - 5000, fingerprint: 'cc', inForce: 'dd' };
    const view = groupPolicies([
      told('n1', [byDefault, cart]),
      told('n2', [byDefault, cart]),
      told('n3', [byDefault], old),
    ]);
    const text = renderPolicies(view, now);
    assert.match(text, /\(default\) .* n1, n2, n3\n/);
    assert.match(text, /cart: +PC\/EC +2 +2 +strict +last-write-wins +- +run-time, 1m ago +n1, n2\n/);
    assert.match(text, /! n3 does not know all changes .*5\.0s older than the newest of n1.*\.\n$/);
  });

  it('tells a different configuration from a node that is behind', () => {
    const here = { node: 'n1', known };
    assert.deepEqual(differencesOf([]), []);
    assert.deepEqual(differencesOf([here, { node: 'n2', known }]), []);
    const [configured] = differencesOf([here, { node: 'n2', known: { ...known, inForce: 'ee' } }]);
    assert.equal(configured!.node, '');
    assert.match(configured!.what, /configurations differ/);
    const never = { ...known, changedAt: 0, fingerprint: '00' };
    assert.match(differencesOf([here, { node: 'n2', known: never }])[0]!.what, /^n2 .*it knows of none/);
    const split = differencesOf([here, { node: 'n2', known: { ...known, fingerprint: 'ff' } }]);
    assert.match(split[0]!.what, /^n2 .*n1 does not know all of its own either/);
  });

  it('shows any prefix on one line', () => {
    assert.equal(shownPrefix({ prefix: '' }), '(default)');
    assert.equal(shownPrefix({ prefix: 'straße:' }), 'straße:');
    assert.equal(shownPrefix({ prefix: 'a\n\x1b[2J"' }), '"a\\x0a\\x1b[2J\\x22"');
    assert.equal(shownPrefix({ prefixBase64: 'AP8=' }), '"\\x00\\xff"');
    assert.equal(shownPrefix({ prefix: '\u202eabc' }), '"\\xe2\\x80\\xaeabc"');
  });
});

describe('dure status', () => {
  it('tells when nodes go by different policies, and by how much one is behind', () => {
    const statuses = new Statuses();
    assert.deepEqual(clusterView(statuses.look()).reasons, []);
    for (const answer of statuses.answers) answer.policies = { ...known };
    statuses.of('n3').policies = {
      ...known,
      changedAt: known.changedAt - 120_000,
      fingerprint: '00',
      inForce: '00',
    };
    const { reasons, verdict } = clusterView(statuses.look());
    assert.equal(verdict, 'degraded');
    assert.equal(reasons.length, 1);
    const [{ code, subject, what }] = reasons as [(typeof reasons)[0]];
    assert.deepEqual([code, subject], ['policies-differ', 'n3']);
    assert.match(what, /n3 does not know all changes of policies .*2m older than the newest of n1/);
  });
});
