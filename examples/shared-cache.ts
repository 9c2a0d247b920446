/**
 * Three processes of one application share a cache. There is no cache server: each process is a member of the
 * cluster, holds a replica of what is cached, and reads it from its own memory.
 *
 * `npx node examples/shared-cache.ts` starts three processes; then, in another terminal,
 *
 * ```
 * curl localhost:3001/page/42          made here: 250 ms
 * curl localhost:3002/page/42          from the cache, read in process 2, without a hop
 * curl -X DELETE localhost:3003/page/42
 * curl localhost:3001/page/42          made anew
 * curl localhost:3002/stats
 * ```
 *
 * End one of them with kill -9: the other two have all that was cached, and go on. Start it again with
 * `npx node examples/shared-cache.ts --process 1`: it fetches the pages from the others by itself.
 *
 * The picture: three cooks with one recipe book each, who read out to each other what they write in. Asking one's own
 * book is quick; what another wrote a moment ago may not be in it yet. That is `PA/EL`: reads are answered by one
 * replica, writes are acknowledged by one and reach the others within a millisecond or so. For a cache that is right,
 * as long as pages go away by themselves (`TTL`). Where a reader must not see what was replaced, read with
 * `{consistency: 'PC/EC'}`, which asks a second process.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
// In a project of your own: from 'dure'.
import { createNode, DureError, type EmbeddedNode, type LocalSpace } from '../embed/index.ts';

const { values: flags } = parseArgs({
  options: {
    /** 1 to 3; left out: all of them, each a process of its own. */
    process: { type: 'string' },
    /** HTTP ports are this + 1 to 3, peer ports + 11 to 13. */
    port: { type: 'string', default: '3000' },
  },
});
const port = Number(flags.port);
const members = [1, 2, 3].map((n) => ({ id: `app${n}`, peerPort: port + 10 + n }));

interface Page {
  readonly html: string;
  readonly madeBy: string;
}

/** What is worth caching: it takes a while. */
async function makePage(id: string, madeBy: string): Promise<Page> {
  await delay(250);
  return { html: `<h1>Page ${id}</h1>`, madeBy };
}

async function pageOf(pages: LocalSpace<Page>, id: string, madeBy: string): Promise<Page & { from: string }> {
  const cached = await pages.get(id);
  if (cached !== undefined) return { ...cached, from: 'cache' };
  const page = await makePage(id, madeBy);
  await pages.put(id, page);
  return { ...page, from: 'made' };
}

async function answer(
  node: EmbeddedNode<unknown>,
  pages: LocalSpace<Page>,
  { method, url = '/' }: IncomingMessage,
): Promise<unknown> {
  const [, what, id = ''] = url.split('/');
  if (what === 'page' && method === 'GET') return pageOf(pages, id, node.id);
  if (what === 'page' && method === 'DELETE') {
    await pages.delete(id);
    return { deleted: id };
  }
  if (what === 'stats') {
    const { localReads, requests, failures } = node.metrics();
    const live = node.members().filter((member) => member.live);
    return { id: node.id, localReads, requests, failures, live: live.map((member) => member.id) };
  }
  return undefined;
}

/** One process of the application. */
async function runApplication(n: number): Promise<void> {
  const node = await createNode({
    nodeId: `app${n}`,
    clusterName: 'shared-cache',
    members,
    memory: true,
    storage: { memoryBytesMax: '64MiB', evictionPolicy: 'lru' },
    policy: 'PA/EL TTL=1h',
  });
  node.on('member', ({ id, live, reason }) =>
    console.log(`app${n}: ${id} is ${live ? 'there' : 'gone'} (${reason})`),
  );
  // A node never ends the process it lives in. This application works without a cache, so it goes on.
  node.on('failed', ({ reason }) => console.error(`app${n}: the cache is off: ${reason}`));
  const pages = node.space<Page>('page:');

  const reply = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      const body = await answer(node, pages, request);
      response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body ?? { error: 'no such thing' })}\n`);
    } catch (error) {
      if (!(error instanceof DureError)) throw error;
      response.writeHead(503, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify({ error: error.message, code: error.code, outcome: error.outcome })}\n`);
    }
  };
  const server = createServer(reply).listen(port + n, '127.0.0.1', () => {
    console.log(`app${n}: http://127.0.0.1:${port + n}/page/42, process ${process.pid}`);
  });
  const stop = async (): Promise<void> => {
    server.close();
    server.closeAllConnections();
    await node.close();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, stop);
}

/** All three, ended together. */
function runAll(): void {
  const script = fileURLToPath(import.meta.url);
  const children: ChildProcess[] = [1, 2, 3].map((n) =>
    spawn(process.execPath, [script, '--process', String(n), '--port', String(port)], { stdio: 'inherit' }),
  );
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      for (const child of children) child.kill(signal);
    });
  }
}

if (flags.process === undefined) runAll();
else await runApplication(Number(flags.process));
