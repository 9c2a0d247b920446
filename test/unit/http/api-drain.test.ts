/** `POST /v1/nodes/:id/drain`: only the node itself, once it is drained; and what the door does as it closes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Password } from '../../../src/server/password.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';
import { problemOf } from '../../support/http-raw.ts';
import { until } from '../../support/wait.ts';

function drain(api: HttpApi, id: string, body?: unknown): Promise<Response> {
  const path = `/v1/nodes/${id}/drain`;
  if (body === undefined) return api.ask(path, { method: 'POST' });
  const headers = { 'content-type': 'application/json' };
  return api.ask(path, { method: 'POST', headers, body: JSON.stringify(body) });
}

describe('POST /v1/nodes/:id/drain', () => {
  it('drains the node that is asked, with the grace that is asked for, and answers when it is drained', async () => {
    const graces: number[] = [];
    const asked = async (graceMs: number): Promise<number> => {
      graces.push(graceMs);
      await new Promise((next) => setTimeout(next, 30));
      return 3;
    };
    await withHttpApi(
      async (api) => {
        for (const body of [undefined, {}, { graceMs: 250 }]) {
          const from = performance.now();
          const answer = await drain(api, 'n1', body);
          assert.deepEqual(
            [answer.status, await answer.json()],
            [200, { node: 'n1', drained: true, unfinished: 3 }],
          );
          assert.ok(performance.now() - from >= 25, 'it is answered once that is done');
        }
      },
      {},
      undefined,
      asked,
    );
    assert.deepEqual(graces, [0, 0, 250]);
  });

  it('is refused for another node, which is named with its address, and for nobody', () =>
    withHttpApi(async (api) => {
      const other = api.node.topology.members.find(({ id }) => id !== 'n1')!;
      const words = await problemOf(api.port, `/v1/nodes/${other.id}/drain`, { method: 'POST' });
      assert.deepEqual([words.status, words.code, words.outcome], [400, 'invalid', 'fail']);
      assert.match(words.detail, new RegExp(`http://127\\.0\\.0\\.1:${other.httpPort};`));
      const nobody = await problemOf(api.port, '/v1/nodes/n99/drain', { method: 'POST' });
      assert.match(nobody.detail, /n99 is no member/);
    }));

  it('takes no grace that no answer could wait for, and nothing it does not know', () =>
    withHttpApi(async (api) => {
      for (const body of [{ graceMs: 45_001 }, { graceMs: -1 }, { graceMs: 1.5 }, { grace: 1 }]) {
        assert.equal((await drain(api, 'n1', body)).status, 400);
      }
      assert.equal((await api.ask('/v1/nodes/n1/drain')).status, 405);
      assert.equal((await api.ask('/v1/nodes/n1/drain?now', { method: 'POST' })).status, 400);
    }));

  it('asks for the password, and is there without the data API', () =>
    withHttpApi(
      async (api) => {
        assert.equal((await drain(api, 'n1')).status, 401);
        const headers = { authorization: 'Bearer secret' };
        assert.equal((await api.ask('/v1/nodes/n1/drain', { method: 'POST', headers })).status, 200);
      },
      { api: false, password: new Password('secret') },
    ));
});

describe('the door as it closes', () => {
  it('lets a request under way be answered, and cuts one that takes longer than a second', async () => {
    for (const [takesMs, isAnswered] of [
      [300, true],
      [5000, false],
    ] as const) {
      const timers: NodeJS.Timeout[] = [];
      const slow = (): Promise<number> =>
        new Promise((next) => timers.push(setTimeout(() => next(0), takesMs)));
      let answer: Promise<Response | undefined> | undefined;
      let from = 0;
      await withHttpApi(
        async (api) => {
          answer = drain(api, 'n1').catch(() => undefined);
          await until(() => timers.length > 0, 'the request has arrived');
          from = performance.now();
        },
        {},
        undefined,
        slow,
      );
      const tookMs = performance.now() - from;
      assert.equal((await answer)?.status, isAnswered ? 200 : undefined);
      assert.ok(tookMs < 1900, `closed after ${tookMs} ms`);
      for (const timer of timers) clearTimeout(timer);
    }
  });

  it('does not wait for connections without a request', async () => {
    let from = 0;
    await withHttpApi(async (api) => {
      // fetch keeps its connections.
      await (await api.ask('/health/live')).text();
      from = performance.now();
    });
    assert.ok(performance.now() - from < 500);
  });
});
