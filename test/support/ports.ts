/** Ports for tests: blocks that nobody uses, below the range the system hands out by itself. */

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => done(true)));
  });
}

/** A base such that base, base+1000 and base+2000, each with the `count` ports from there, are free. */
export async function freePortBase(count: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const base = randomInt(10_000, 30_000 - count);
    const ports = [0, 1000, 2000].flatMap((offset) =>
      Array.from({ length: count }, (_, i) => base + offset + i),
    );
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return base;
  }
  throw new Error('no free block of ports found');
}
