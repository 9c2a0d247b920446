/**
 * Dure as it is measured: real processes, each started as `dure start --config FILE`, with its defaults
 * but for what the row is about (N = 3, R = W = 2 by default; one node with the memory engine).
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, freePort, start, until } from './processes.ts';
import { loopback, type Starter, type System, type SystemStart, target } from './system.ts';

const cli = fileURLToPath(new URL('../../src/main/cli.ts', import.meta.url));
const readyInARow = 20;

interface Member {
  readonly id: string;
  readonly host: string;
  readonly respPort: number;
  readonly peerPort: number;
  readonly httpPort: number;
}

async function member(id: string): Promise<Member> {
  return {
    id,
    host: loopback,
    respPort: await freePort(),
    peerPort: await freePort(),
    httpPort: await freePort(),
  };
}

/** The configuration file of one node: JSON is YAML. */
function config(self: Member, members: readonly Member[], directory: string, options: SystemStart): string {
  const storage =
    options.durability === 'memory'
      ? { engine: 'memory' }
      : { engine: 'classic-level', durability: options.durability };
  return JSON.stringify({
    nodeId: self.id,
    clusterName: 'bench',
    dataDir: join(directory, 'data'),
    members,
    storage,
    log: { level: 'warn', format: 'json' },
  });
}

/** Every node answers a quorum write, so all of them know of each other. */
async function answers(members: readonly Member[]): Promise<boolean> {
  for (let index = 0; index < readyInARow; index += 1) {
    for (const { respPort } of members) {
      const answer = await ask(respPort, 'SET', `ready:${index}`, '1');
      if (!answer.startsWith('+OK')) return false;
    }
  }
  return true;
}

export const startDure: Starter = async (options): Promise<System> => {
  const count = options.durability === 'memory' ? 1 : 3;
  const members: Member[] = [];
  for (let index = 1; index <= count; index += 1) members.push(await member(`n${index}`));
  const processes = members.map((self) => {
    const directory = join(options.directory, self.id);
    mkdirSync(directory, { recursive: true });
    const file = join(directory, 'node.yaml');
    writeFileSync(file, config(self, members, directory, options));
    const profile = options.profile
      ? ['--cpu-prof', `--cpu-prof-dir=${directory}`, '--cpu-prof-interval=500']
      : [];
    const args = [...profile, cli, 'start', '--config', file, ...options.dureFlags];
    return start(`dure ${self.id}`, process.execPath, args, join(directory, 'output.txt'));
  });
  await until(processes, () => answers(members));
  return {
    name: 'dure',
    label: count === 1 ? 'Dure, 1 node, memory' : `Dure, 3 nodes, W=2, ${options.durability}`,
    protocol: 'resp',
    targets: members.map(({ respPort }) => target(respPort)),
    waitReplicas: 0,
    processes,
  };
};
