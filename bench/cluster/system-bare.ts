/** The bare program (`bare.ts`) as it is measured: three processes, or one with a Map. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, freePort, start, until } from './processes.ts';
import { type Starter, type System, target } from './system.ts';

const program = fileURLToPath(new URL('bare.ts', import.meta.url));

export const startBare: Starter = async (options): Promise<System> => {
  const count = options.durability === 'memory' ? 1 : 3;
  const ports: number[] = [];
  const peerPorts: number[] = [];
  for (let index = 0; index < count; index += 1) {
    ports.push(await freePort());
    peerPorts.push(await freePort());
  }
  const processes = ports.map((port, index) => {
    const peers = peerPorts.filter((_, other) => other !== index).join(',');
    const replication = ['--peer-port', String(peerPorts[index]), '--peers', peers];
    const log = ['--log', join(options.directory, `log${index}`), '--sync', options.durability];
    const profile = options.profile
      ? ['--cpu-prof', `--cpu-prof-dir=${options.directory}`, '--cpu-prof-interval=500']
      : [];
    const how = options.durability === 'memory' ? ['--memory'] : [...replication, ...log];
    const args = [...profile, program, '--port', String(port), ...how];
    return start(`bare ${index + 1}`, process.execPath, args, join(options.directory, `output${index}.txt`));
  });
  await until(processes, async () => {
    for (const port of ports) if ((await ask(port, 'SET', 'ready', '1')) !== '+OK') return false;
    return true;
  });
  return {
    name: 'bare',
    label:
      count === 1 ? 'bare Node.js, 1 process, a Map' : `bare Node.js, 3 processes, ${options.durability}`,
    protocol: 'resp',
    targets: ports.map(target),
    waitReplicas: 0,
    processes,
  };
};
