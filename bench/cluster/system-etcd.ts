/**
 * etcd as it is measured: three members, Put over gRPC, all connections to the leader, which is where
 * it is fastest. The gRPC bytes are made by our own load generator (`requests.ts`), so that the client
 * costs what it costs with the other systems; the JSON gateway would be far slower. etcd syncs its log
 * before it answers, always: set beside `interval` it does more than it is asked.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, start, until } from './processes.ts';
import { loopback, type Starter, type System, target } from './system.ts';

interface Status {
  readonly header: { readonly member_id: string };
  readonly leader?: string;
}

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

async function status(port: number): Promise<Status> {
  const response = await fetch(`http://${loopback}:${port}/v3/maintenance/status`, {
    method: 'POST',
    body: '{}',
    signal: AbortSignal.timeout(3000),
  });
  return (await response.json()) as Status;
}

async function leaderOf(members: readonly Member[]): Promise<Member | undefined> {
  for (const member of members) {
    const { header, leader } = await status(member.clientPort);
    if (leader === undefined || leader === '0') return undefined;
    if (header.member_id === leader) return member;
  }
  return undefined;
}

export const startEtcd: Starter = async (options): Promise<System> => {
  const members: Member[] = [];
  for (const name of ['e1', 'e2', 'e3']) {
    members.push({ name, clientPort: await freePort(), peerPort: await freePort() });
  }
  const cluster = members.map(({ name, peerPort }) => `${name}=http://${loopback}:${peerPort}`).join(',');
  const processes = members.map(({ name, clientPort, peerPort }) => {
    const directory = join(options.directory, name);
    mkdirSync(directory, { recursive: true });
    const client = `http://${loopback}:${clientPort}`;
    const peer = `http://${loopback}:${peerPort}`;
    const flags = {
      name,
      'data-dir': join(directory, 'data'),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': cluster,
      'quota-backend-bytes': String(8 * 1024 ** 3),
      logger: 'zap',
      'log-level': 'error',
    };
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    return start(`etcd ${name}`, 'etcd', args, join(directory, 'output.txt'));
  });
  let leader: Member | undefined;
  await until(processes, async () => {
    leader = await leaderOf(members);
    return leader !== undefined;
  });
  return {
    name: 'etcd',
    label: 'etcd, 3 nodes, Put at the leader',
    protocol: 'etcd',
    targets: [target(leader!.clientPort)],
    waitReplicas: 0,
    processes,
  };
};
