/**
 * The OpenAPI document against the door: it is valid, every operation answers only what it declares, and everything
 * that it declares can be had. So a client that was generated from it meets no surprise, and no dead branch.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { bytesOf } from '../../../src/base/bytes.ts';
import { CodedError, type ErrorCode, type Outcome } from '../../../src/base/errors.ts';
import { PROBLEM_KINDS } from '../../../src/http/api/problem.ts';
import { Password } from '../../../src/server/password.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { putSiblings, withHttpApi } from '../../support/http-api.ts';
import { problemIn, type RawAnswer, type RawRequest, sendRaw } from '../../support/http-raw.ts';

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly headers?: Readonly<Record<string, { readonly schema: object }>>;
        readonly content?: Readonly<Record<string, { readonly schema: object }>>;
      }
    >
  >;
}

interface Document {
  readonly openapi: string;
  readonly security?: unknown;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const methods = ['get', 'head', 'put', 'post', 'delete', 'patch', 'options', 'trace'];

/** The document, asked what it says of answers. */
class Contract {
  readonly operations: Map<string, Operation> = new Map();
  /** `operation status` that were answered. */
  readonly seen: Set<string> = new Set();
  readonly #document: Document;
  readonly #ajv: Ajv2020;
  readonly #validators: Map<string, ValidateFunction> = new Map();

  constructor(document: Document) {
    this.#document = document;
    this.#ajv = new Ajv2020({ strict: false, allErrors: true });
    (addFormats as unknown as (ajv: Ajv2020) => void)(this.#ajv);
    for (const path of Object.values(document.paths)) {
      for (const method of methods) {
        const operation = path[method];
        if (operation !== undefined) this.operations.set(operation.operationId, operation);
      }
    }
  }

  #validator(schema: object): ValidateFunction {
    const text = JSON.stringify(schema);
    let validate = this.#validators.get(text);
    if (validate === undefined) {
      validate = this.#ajv.compile({ ...schema, components: this.#document.components });
      this.#validators.set(text, validate);
    }
    return validate;
  }

  /** Fails unless the operation declares this answer. */
  check(operationId: string, { status, headers, text }: RawAnswer): void {
    const where = `${operationId} ${status} ${text.slice(0, 300)}`;
    const declared = this.operations.get(operationId)!.responses[status];
    assert.ok(declared, `declared: ${where}`);
    this.seen.add(`${operationId} ${status}`);
    for (const [name, { schema }] of Object.entries(declared.headers ?? {})) {
      const value = headers[name.toLowerCase()];
      if (name === 'Dure-Expires-At' && value === undefined) continue;
      const validate = this.#validator(schema);
      assert.ok(validate(value), `header ${name} of ${where}: ${this.#ajv.errorsText(validate.errors)}`);
    }
    if (declared.content === undefined) {
      assert.equal(text, '', `no body: ${where}`);
      return;
    }
    const type = headers['content-type']?.split(';')[0] ?? '';
    const content = declared.content[type];
    assert.ok(content, `declared content type ${type}: ${where}`);
    if (!/json$/.test(type) || operationId.startsWith('head')) return;
    const validate = this.#validator(content.schema);
    assert.ok(validate(JSON.parse(text)), `${where}: ${this.#ajv.errorsText(validate.errors)}`);
  }
}

function documentOf(port: number): Promise<Document> {
  return sendRaw(port, '/openapi.json').then(({ status, headers, text }) => {
    assert.equal(status, 200);
    assert.match(headers['content-type']!, /^application\/json\b/);
    return JSON.parse(text) as Document;
  });
}

/** A request of an operation that succeeds or would; with what the node holds before it. */
interface Sample {
  readonly operation: string;
  readonly path: string;
  readonly sent: RawRequest;
}

const json = { 'content-type': 'application/json' };
const text = (body: string): RawRequest => ({ method: 'PUT', body });
const batch = (...operations: readonly object[]): RawRequest => ({
  method: 'POST',
  headers: json,
  body: JSON.stringify({ operations }),
});

const post = (body: object): RawRequest => ({ method: 'POST', headers: json, body: JSON.stringify(body) });
const newcomer: object = { id: 'n4', host: '10.0.0.4', peerPort: 7371 };

/** The plainest request of each operation. */
const plain: readonly Sample[] = [
  { operation: 'getKey', path: '/v1/keys/json', sent: {} },
  { operation: 'headKey', path: '/v1/keys/json', sent: { method: 'HEAD' } },
  { operation: 'putKey', path: '/v1/keys/new', sent: text('v') },
  { operation: 'deleteKey', path: '/v1/keys/json', sent: { method: 'DELETE' } },
  { operation: 'listKeys', path: '/v1/keys', sent: {} },
  { operation: 'batch', path: '/v1/batch', sent: batch({ op: 'get', key: 'json' }) },
  { operation: 'listPolicies', path: '/v1/policies', sent: {} },
  { operation: 'setPolicy', path: '/v1/policies/p', sent: { method: 'PUT', headers: json, body: '"PC/EC"' } },
  { operation: 'unsetPolicy', path: '/v1/policies/p', sent: { method: 'DELETE' } },
  { operation: 'getTopology', path: '/v1/topology', sent: {} },
  { operation: 'joinNode', path: '/v1/nodes', sent: post(newcomer) },
  { operation: 'leaveNode', path: '/v1/nodes/n2/leave', sent: { method: 'POST' } },
  { operation: 'drainNode', path: '/v1/nodes/n1/drain', sent: post({ graceMs: 0 }) },
  { operation: 'removeNode', path: '/v1/nodes/n2/remove', sent: { method: 'POST' } },
  { operation: 'replaceNode', path: '/v1/nodes/n2/replace', sent: post({ member: newcomer }) },
  { operation: 'weighNode', path: '/v1/nodes/n2/weight', sent: { ...post({ weight: 2 }), method: 'PUT' } },
  { operation: 'cancelChange', path: '/v1/topology/cancel', sent: { method: 'POST' } },
  { operation: 'forceTopology', path: '/v1/topology/force', sent: post({ gone: ['n2', 'n3'] }) },
];

/** Changes of the topology: they answer alike. */
const changes: readonly Sample[] = plain.filter(({ path, sent }) => {
  return /^\/v1\/(nodes|topology)/.test(path) && sent.method !== undefined;
});
/** Asks for no password, as /members does not. */
const open: ReadonlySet<string> = new Set(['getTopology']);

const conditional = (name: string, value: string, sent: RawRequest): RawRequest => ({
  ...sent,
  headers: { ...sent.headers, [name]: value },
});

/** More of each, and the status that each is answered with. */
const samples: readonly (readonly [number, Sample])[] = [
  ...(['getKey', 'headKey'] as const).flatMap((operation): (readonly [number, Sample])[] => {
    const method = operation === 'getKey' ? 'GET' : 'HEAD';
    const sample = (path: string, headers: Record<string, string> = {}): Sample => {
      return { operation, path: `/v1/keys/${path}`, sent: { method, headers } };
    };
    return [
      [200, sample('json')],
      [200, sample('bytes')],
      [200, sample('expires')],
      [200, sample('json?as=text')],
      [200, sample('siblings?siblings=newest')],
      [300, sample('siblings')],
      [304, sample('json', { 'if-none-match': '*' })],
      [400, sample('json?what=ever')],
      [403, sample('json', { origin: 'https://evil.example' })],
      [404, sample('nothing')],
      [406, sample('bytes?as=json')],
      [412, sample('json', { 'if-match': '"another"' })],
      [421, sample('json', { host: 'evil.example' })],
    ];
  }),
  [201, { operation: 'putKey', path: '/v1/keys/n', sent: conditional('if-none-match', '*', text('v')) }],
  [204, { operation: 'putKey', path: '/v1/keys/a%2Fb?ttl=1h', sent: text('v') }],
  [204, { operation: 'putKey', path: '/v1/keys/json', sent: { ...text('{"a":[1]}'), headers: json } }],
  [400, { operation: 'putKey', path: '/v1/keys/json', sent: { ...text('{'), headers: json } }],
  [412, { operation: 'putKey', path: '/v1/keys/json', sent: conditional('if-none-match', '*', text('v')) }],
  [413, { operation: 'putKey', path: '/v1/keys/json', sent: text('x'.repeat(200_000)) }],
  [
    415,
    { operation: 'putKey', path: '/v1/keys/a', sent: conditional('content-encoding', 'gzip', text('v')) },
  ],
  [204, { operation: 'deleteKey', path: '/v1/keys/nothing', sent: { method: 'DELETE' } }],
  [
    412,
    {
      operation: 'deleteKey',
      path: '/v1/keys/nothing',
      sent: { method: 'DELETE', headers: { 'if-match': '*' } },
    },
  ],
  [413, { operation: 'deleteKey', path: '/v1/keys/a', sent: { method: 'DELETE', body: 'x'.repeat(20_000) } }],
  ...(
    [
      ['deleteKey', '/v1/keys/a'],
      ['unsetPolicy', '/v1/policies/p'],
    ] as const
  ).map(([operation, path]): readonly [number, Sample] => {
    return [
      415,
      { operation, path, sent: { method: 'DELETE', headers: { 'content-type': '?' }, body: 'x' } },
    ];
  }),
  [200, { operation: 'listKeys', path: '/v1/keys?limit=2', sent: {} }],
  [200, { operation: 'listKeys', path: '/v1/keys?prefix=j&limit=1', sent: {} }],
  [200, { operation: 'listKeys', path: '/v1/keys?prefix=none', sent: {} }],
  [
    200,
    {
      operation: 'batch',
      path: '/v1/batch?timeout=1s',
      sent: batch(
        ...['json', 'bytes', 'expires', 'siblings', 'nothing'].map((key) => ({ op: 'get', key })),
        { op: 'get', key: 'bytes', as: 'text' },
        { op: 'get', keyBase64: '/w==' },
        { op: 'get' },
        { op: 'put', key: 'p', value: { a: 1 } },
        { op: 'put', key: 'p', value: 1, text: '' },
        { op: 'put', key: 'q', text: 't', ifNoneMatch: '*', ttl: '5s' },
        { op: 'put', key: 'json', base64: 'AA==', ifNoneMatch: '*' },
        { op: 'delete', key: 'p' },
      ),
    },
  ],
  [400, { operation: 'batch', path: '/v1/batch', sent: batch() }],
  [413, { operation: 'batch', path: '/v1/batch', sent: { method: 'POST', body: 'x'.repeat(3_000_000) } }],
  [415, { operation: 'batch', path: '/v1/batch', sent: { method: 'POST', body: '{}' } }],
  [413, { operation: 'setPolicy', path: '/v1/policies/p', sent: text('x'.repeat(20_000)) }],
  [415, { operation: 'setPolicy', path: '/v1/policies/p', sent: text('PC/EC') }],
  [
    413,
    {
      operation: 'unsetPolicy',
      path: '/v1/policies/p',
      sent: { method: 'DELETE', body: 'x'.repeat(20_000) },
    },
  ],
  [200, { operation: 'getTopology', path: '/v1/topology?lists=true', sent: {} }],
  ...changes.flatMap(({ operation, path, sent }): (readonly [number, Sample])[] => [
    [413, { operation, path, sent: { ...sent, headers: json, body: ' '.repeat(100_000) } }],
    [415, { operation, path, sent: { ...sent, headers: {}, body: '{}' } }],
  ]),
];

/** Errors of the node that a read cannot be answered with. */
const ofWrites: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'pair-too-large',
  'storage-full',
  'siblings',
  'siblings-full',
  'straggler',
]);
const reads: ReadonlySet<string> = new Set(['getKey', 'headKey', 'listKeys', 'listPolicies', 'getTopology']);
/** A change of policies or of the topology writes no row of a key. */
const withoutRows: ReadonlySet<string> = new Set([
  'setPolicy',
  'unsetPolicy',
  ...changes.map(({ operation }) => operation),
]);

/** Whether an operation can be answered with an error of the node. */
function canFail(operation: string, code: ErrorCode): boolean {
  if (reads.has(operation)) return !ofWrites.has(code);
  return !withoutRows.has(operation) || !ofWrites.has(code) || code === 'storage-full';
}

const errorCodes = Object.keys(PROBLEM_KINDS).slice(
  0,
  Object.keys(PROBLEM_KINDS).indexOf('invalid') + 1,
) as ErrorCode[];

/** A node with just these keys. */
function filled(node: FakeNode = new FakeNode(3, 10_240)): FakeNode {
  node.rows.clear();
  const put = (key: string, value: string | Uint8Array, expireAt = 0): void => {
    const bytes = typeof value === 'string' ? bytesOf(value) : value;
    node.write(key, { kind: 1, value: bytes, expireAt }, {}, () => {});
  };
  put('json', '{"a":[1,null]}');
  put('bytes', new Uint8Array([0xff, 0, 1]));
  put('expires', 'text', node.now + 60_000);
  put('\xff', '1');
  putSiblings(node, 'siblings', [
    [bytesOf('"one"'), 0],
    [new Uint8Array([0xfe]), node.now + 60_000],
  ]);
  node.runTime.set('p', node.policy);
  return node;
}

/** Sends all samples, and each error of the node to each operation, and checks the answers. */
async function exercise(contract: Contract): Promise<void> {
  await withHttpApi(
    async (api) => {
      for (const [status, { operation, path, sent }] of samples) {
        filled(api.node);
        const answer = await sendRaw(api.port, path, sent);
        assert.equal(answer.status, status, `${operation} ${path} ${answer.text.slice(0, 300)}`);
        contract.check(operation, answer);
      }
      assert.deepEqual(api.logged, []);
    },
    {},
    filled(),
  );
  for (const { operation, path, sent } of plain) {
    await withHttpApi(
      async (api) => {
        contract.check(operation, await sendRaw(api.port, path, sent));
        for (const headers of [{ host: 'evil.example' }, { origin: 'https://evil.example' }]) {
          const strange = { ...sent, headers: { ...sent.headers, ...headers } };
          contract.check(operation, await sendRaw(api.port, path, strange));
        }
        contract.check(operation, await sendRaw(api.port, `${path}?what=ever`, sent));
        for (const code of errorCodes) {
          if (!canFail(operation, code)) continue;
          const outcome: Outcome = reads.has(operation) ? 'none' : 'unknown';
          api.node.failures.length = 0;
          api.node.failures.push(new CodedError(code, outcome, `made for a test: ${code}`));
          const answer = await sendRaw(api.port, path, sent);
          contract.check(operation, answer);
          if (api.node.failures.length > 0 || operation === 'batch' || operation === 'headKey') continue;
          const { code: told, detail, outcome: toldOutcome } = problemIn(answer);
          assert.deepEqual([told, toldOutcome], [code, outcome], detail);
        }
      },
      {},
      filled(),
    );
    for (const [status, options] of [
      [401, { password: new Password('secret') }],
      [503, { limits: { requestsMax: 0 } }],
    ] as const) {
      await withHttpApi(
        async (api) => {
          const answer = await sendRaw(api.port, path, sent);
          assert.equal(answer.status, status === 401 && open.has(operation) ? 200 : status);
          contract.check(operation, answer);
        },
        options,
        filled(),
      );
    }
  }
}

describe('the OpenAPI document', () => {
  test('is valid by the schema of OpenAPI 3.1', () =>
    withHttpApi(async (api) => {
      const document = await documentOf(api.port);
      const result = await new Validator().validate({ ...document });
      assert.equal(result.valid, true, String(JSON.stringify(result.errors)).slice(0, 2000));
    }));

  test('asks for the password only where there is one', async () => {
    await withHttpApi(async (api) => assert.equal((await documentOf(api.port)).security, undefined));
    await withHttpApi(
      async (api) => assert.deepEqual((await documentOf(api.port)).security, [{ bearer: [] }, { basic: [] }]),
      { password: new Password('secret') },
    );
  });

  test('declares every answer, and every answer that it declares can be had', async () => {
    let contract: Contract | undefined;
    await withHttpApi(async (api) => {
      contract = new Contract(await documentOf(api.port));
    });
    assert.deepEqual(
      [...contract!.operations.keys()].sort(),
      plain.map(({ operation }) => operation).sort(),
      'the operations that this test knows of',
    );
    await exercise(contract!);
    // The first two are given before there is an operation (broken-input.test.ts), the last one by a bug.
    const before = ['408', '431', '500'];
    for (const [operationId, { responses }] of contract!.operations) {
      for (const status of before) assert.ok(responses[status], `${operationId} declares ${status}`);
      const missed = Object.keys(responses).filter((status) => {
        return !before.includes(status) && !contract!.seen.has(`${operationId} ${status}`);
      });
      assert.deepEqual(missed, [], `${operationId} declares what it never answers`);
    }
  });
});
