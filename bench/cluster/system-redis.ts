/**
 * Redis as it is measured. Replicated: a master and two replicas, all three with an append-only file,
 * and each SET followed by WAIT 1, so that it is on two of three machines when it is answered, as with
 * W = 2. That is the nearest Redis comes to it; it is less: WAIT does not undo what too few replicas
 * have got, and (in Redis 7.0) does not wait for the replica's fsync.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ask, freePort, type Started, start, until } from './processes.ts';
import { loopback, type Starter, type System, type SystemStart, target } from './system.ts';

function startOne(port: number, options: SystemStart, name: string, extra: readonly string[]): Started {
  const directory = join(options.directory, name.replace(' ', '-'));
  mkdirSync(directory, { recursive: true });
  const args = ['--port', String(port), '--bind', loopback, '--dir', directory, '--save', '', ...extra];
  return start(name, 'redis-server', args, join(directory, 'output.txt'));
}

async function isReplicated(port: number): Promise<boolean> {
  const info = await ask(port, 'INFO', 'replication');
  return (info.match(/state=online/g) ?? []).length === 2 && (await ask(port, 'SET', 'ready', '1')) === '+OK';
}

async function startSingle(options: SystemStart): Promise<System> {
  const port = await freePort();
  const server = startOne(port, options, 'redis single', ['--appendonly', 'no']);
  await until([server], async () => (await ask(port, 'PING')) === '+PONG');
  return {
    name: 'redis',
    label: 'Redis, 1 server, no disk',
    protocol: 'resp',
    targets: [target(port)],
    waitReplicas: 0,
    processes: [server],
  };
}

async function startReplicated(options: SystemStart): Promise<System> {
  const fsync = options.durability === 'always' ? 'always' : 'everysec';
  const common = ['--appendonly', 'yes', '--appendfsync', fsync, '--repl-diskless-sync-delay', '0'];
  const port = await freePort();
  const master = startOne(port, options, 'redis master', common);
  await until([master], async () => (await ask(port, 'PING')) === '+PONG');
  const replicas: Started[] = [];
  for (const name of ['redis replica1', 'redis replica2']) {
    const extra = [...common, '--replicaof', `${loopback} ${port}`];
    replicas.push(startOne(await freePort(), options, name, extra));
  }
  const processes = [master, ...replicas];
  await until(processes, () => isReplicated(port));
  return {
    name: 'redis',
    label: `Redis, 2 replicas, ${fsync}, WAIT 1`,
    protocol: 'resp',
    targets: [target(port)],
    waitReplicas: 1,
    processes,
  };
}

export const startRedis: Starter = (options) =>
  options.durability === 'memory' ? startSingle(options) : startReplicated(options);
