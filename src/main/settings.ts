/**
 * What `CONFIG GET` shows and `CONFIG SET` changes, from the configuration of the node: Redis' own
 * names where there is such a thing (tools ask for some of them), ours under `dure-`.
 */

import { bytesOf, utf8Text } from '../base/bytes.ts';
import type { Setting } from '../commands/facts.ts';
import { fixedSetting, integerSetting } from '../commands/settings.ts';
import { policyText } from '../coordinator/policy-text.ts';
import type { NodeApi } from '../node/api.ts';
import type { RespServer } from '../server/resp-server.ts';
import type { NodeConfig } from './config.ts';

/** The parameters of a node whose RESP door is `server`. */
export function settingsOf(config: NodeConfig, server: RespServer, node: NodeApi): readonly Setting[] {
  const { storage, limits, self } = config;
  const durable = storage.engine !== 'memory';
  const eviction = storage.evictionPolicy === 'none' ? 'noeviction' : `allkeys-${storage.evictionPolicy}`;
  const fixed: Readonly<Record<string, string>> = {
    port: String(self.respPort),
    bind: config.bind,
    dir: config.dataDir,
    databases: '1',
    save: '',
    appendonly: durable ? 'yes' : 'no',
    appendfsync: storage.durability === 'always' ? 'always' : 'everysec',
    maxmemory: String(storage.memoryBytesMax),
    'maxmemory-policy': eviction,
    'tcp-keepalive': '300',
    requirepass: config.password === undefined ? '' : '********',
    'cluster-enabled': 'yes',
    'proto-max-bulk-len': String(server.limits.request.bulkBytesMax),
    'dure-node-id': config.nodeId,
    'dure-cluster-name': config.clusterName,
    'dure-config-file': config.file ?? '',
    'dure-partitions': String(node.topology.partitionCount),
    'dure-replicas': String(node.topology.read.replicaCount),
    'dure-storage-engine': storage.engine,
    'dure-storage-durability': storage.durability,
    'dure-pair-bytes-max': String(limits.pairBytesMax),
    'dure-request-timeout-ms': String(limits.requestTimeoutMs),
  };
  return [
    ...Object.entries(fixed).map(([name, value]) => fixedSetting(name, () => value)),
    // What holds now: DURE.POLICY changes it, and no configuration.
    fixedSetting(
      'dure-policy',
      () => policyWords(node, (prefix) => prefix === ''),
      'DURE.POLICY SET changes it',
    ),
    fixedSetting(
      'dure-policies',
      () => policyWords(node, (prefix) => prefix !== ''),
      'DURE.POLICY SET changes it',
    ),
    integerSetting(
      'maxclients',
      [1, 4_294_967_295],
      () => server.limits.clientsMax,
      (clientsMax) => {
        server.limits = { ...server.limits, clientsMax };
      },
    ),
    integerSetting(
      'timeout',
      [0, 2_147_483],
      () => Math.round(server.limits.idleTimeoutMs / 1000),
      (seconds) => {
        server.limits = { ...server.limits, idleTimeoutMs: seconds * 1000 };
      },
    ),
  ];
}

/** The policies of some prefixes in one line: `cart: PA/EC SIBLINGS; lock: PC/EC`. */
function policyWords(node: NodeApi, isShown: (prefix: string) => boolean): string {
  return node
    .policies()
    .filter(({ prefix }) => isShown(prefix))
    .map(({ prefix, policy }) => {
      return `${utf8Text(bytesOf(prefix))} ${policyText(policy, node.topology.read.replicaCount)}`.trimStart();
    })
    .join('; ');
}
