/**
 * Strict keys through the client, on real processes, judged as registers (`sim/linearizability`): a write of unknown
 * outcome that is not repeated keeps a register one, and a repeated one breaks it (decision 0015).
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Client, connect, DureError } from '../../client/index.ts';
import { type Dial, dialTcp, type Pipe } from '../../client/socket.ts';
import type { Op } from '../nemesis/history.ts';
import { judge } from '../nemesis/judge.ts';
import { TestCluster } from '../support/cluster.ts';
import { delay, until } from '../support/wait.ts';

/** A client that remembers what it was told. */
class Witness {
  readonly #client: Client<string>;
  readonly #name: string;
  readonly #history: Op[];

  constructor(client: Client<string>, name: string, history: Op[]) {
    this.#client = client;
    this.#name = name;
    this.#history = history;
  }

  read(key: string): Promise<Op> {
    return this.#note('read', key, '', async () => (await this.#client.get(key)) ?? null);
  }

  write(key: string, value: string, repeat?: boolean): Promise<Op> {
    return this.#note('write', key, value, async () => {
      await this.#client.put(key, value, { repeat });
      return null;
    });
  }

  async #note(
    kind: 'read' | 'write',
    key: string,
    value: string,
    act: () => Promise<string | null>,
  ): Promise<Op> {
    const at = performance.now();
    const [id, client] = [this.#history.length, this.#name];
    const told = {
      end: Number.NaN,
      outcome: 'pending',
      code: '',
      seen: null,
      removed: false,
      expireAt: 0,
    } as const;
    const op: Op = { id, group: 'strict', key, kind, value, client, at, ...told };
    this.#history.push(op);
    try {
      op.seen = await act();
      op.outcome = 'ok';
    } catch (error) {
      if (!(error instanceof DureError)) throw error;
      op.code = error.code;
      op.outcome = error.outcome === 'none' ? 'fail' : error.outcome;
    }
    op.end = performance.now();
    return op;
  }
}

/** Connections whose replies can be held back, and which can be cut. */
class Holding {
  isHeld = false;
  #open: { readonly pipe: Pipe; readonly closed: (reason: string) => void }[] = [];

  readonly dial: Dial = (host, port, events) => {
    const pipe = dialTcp(host, port, {
      opened: () => events.opened(),
      data: (chunk) => {
        if (!this.isHeld) events.data(chunk);
      },
      drained: () => events.drained(),
      closed: (reason) => events.closed(reason),
    });
    this.#open.push({ pipe, closed: (reason) => events.closed(reason) });
    return pipe;
  };

  cut(): void {
    this.isHeld = false;
    for (const { pipe, closed } of this.#open.splice(0)) {
      pipe.destroy();
      closed('cut by the test');
    }
  }
}

describe('strict keys through the client', { timeout: 120_000 }, () => {
  let cluster: TestCluster;
  let nodes: string[];

  before(async () => {
    const policies = [{ prefix: 'register:', policy: 'PC/EC' }];
    cluster = await TestCluster.start({ flags: ['--policies', JSON.stringify(policies)] });
    nodes = [0, 1, 2].map((index) => `127.0.0.1:${cluster.respPort(index)}`);
  });

  after(() => cluster.close());

  for (const repeat of [undefined, true]) {
    it(`an answer that is lost, ${repeat ? 'and the write repeated: no register any more' : 'by default: the register holds'}`, async () => {
      const history: Op[] = [];
      const holding = new Holding();
      const [near, far] = [
        await connect<string>({ nodes, dial: holding.dial }),
        await connect<string>({ nodes }),
      ];
      const [a, b] = [new Witness(near, 'a', history), new Witness(far, 'b', history)];
      const key = `register:${repeat}`;
      try {
        holding.isHeld = true;
        const writing = a.write(key, 'first', repeat);
        await until(async () => (await b.read(key)).seen === 'first', 'it was applied');
        assert.equal((await b.write(key, 'second')).outcome, 'ok');
        assert.equal((await b.read(key)).seen, 'second');
        holding.cut();
        const { outcome, code } = await writing;
        assert.deepEqual([outcome, code], repeat ? ['ok', ''] : ['unknown', 'connection-lost']);
        assert.equal((await b.read(key)).seen, repeat ? 'first' : 'second');
      } finally {
        await Promise.all([near.close(), far.close()]);
      }
      assert.equal(judge(history, []).strictViolated, repeat ? 1 : 0);
    });
  }

  it('registers hold while nodes are killed one after the other', async () => {
    const history: Op[] = [];
    const clients = await Promise.all([0, 1, 2].map(() => connect<string>({ nodes, deadlineMs: 2000 })));
    let isOver = false;
    const work = async (w: number): Promise<void> => {
      const witness = new Witness(clients[w % clients.length]!, `c${w}`, history);
      for (let i = 0; !isOver; i++) {
        const key = `register:${(w + i) % 3}`;
        if ((w + i) % 2 === 0) await witness.write(key, `${w}.${i}`);
        else await witness.read(key);
        await delay(5);
      }
    };
    const working = Array.from({ length: 8 }, (_, w) => work(w));
    try {
      for (const node of [0, 1]) {
        await delay(500);
        await cluster.kill(node);
        await delay(700);
        await cluster.restart(node);
      }
      await delay(500);
    } finally {
      isOver = true;
      await Promise.all(working);
      await Promise.all(clients.map((client) => client.close()));
    }
    const judgement = judge(history, []);
    const unknown = history.filter(({ outcome }) => outcome === 'unknown').length;
    console.log({ operations: judgement.strictOperations, unknown });
    assert.deepEqual([judgement.strictViolated, judgement.strictUnknown, judgement.strictKeys], [0, 0, 3]);
    assert.ok(judgement.strictOperations > 200);
  });
});
