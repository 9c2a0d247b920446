/**
 * INFO: the state of this node in the form every Redis tool reads, `name:value` in sections.
 *
 * Every figure is measured or counted; what Dure does not have is left out rather than invented. Fields of
 * Redis have Redis' meaning; where Dure has something else it has its own name, `dure_…`.
 */

import { byteString } from '../base/bytes.ts';
import type { NodeStatus } from '../node/status.ts';
import { VerbatimReply } from '../resp/value.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { Call, CommandContext, HandlerTable } from './command.ts';
import {
  type Field,
  hintsFields,
  horizonFields,
  membershipFields,
  repairFields,
  replicationFields,
  siblingsFields,
} from './info-status.ts';
import { REDIS_VERSION } from './versions.ts';

/** @param status the node's, made at most once a call, by the first section that asks for it. */
type SectionMaker = (context: CommandContext, status: () => NodeStatus) => readonly Field[];

function server({ node, facts }: CommandContext): readonly Field[] {
  const figures = facts.figures();
  const uptime = Math.max(0, Math.floor((node.wall() - figures.startedAt) / 1000));
  return [
    ['redis_version', REDIS_VERSION],
    ['redis_mode', 'cluster'],
    ['dure_version', facts.version],
    ['dure_runtime', figures.runtime],
    ['os', figures.platform],
    ['arch_bits', 64],
    ['process_id', figures.processId],
    ['run_id', facts.runId],
    ['tcp_port', figures.tcpPort],
    ['server_time_usec', `${node.wall()}000`],
    ['uptime_in_seconds', uptime],
    ['uptime_in_days', Math.floor(uptime / 86_400)],
    ['executable', figures.executable],
    ['config_file', figures.configFile],
  ];
}

function clients({ facts }: CommandContext): readonly Field[] {
  let connected = 0;
  let blocked = 0;
  let inputMax = 0;
  let outputMax = 0;
  for (const session of facts.sessions()) {
    connected++;
    if (session.blocked) blocked++;
    inputMax = Math.max(inputMax, session.link.inputBytesQueued);
    outputMax = Math.max(outputMax, session.link.outputBytesQueued);
  }
  return [
    ['connected_clients', connected],
    ['maxclients', facts.figures().clientsMax],
    ['blocked_clients', blocked],
    ['client_recent_max_input_buffer', inputMax],
    ['client_recent_max_output_buffer', outputMax],
  ];
}

function memory({ node, facts }: CommandContext): readonly Field[] {
  const figures = facts.figures();
  const storage = node.figures().storage;
  return [
    ['used_memory', figures.memoryHeapUsedBytes],
    ['used_memory_human', human(figures.memoryHeapUsedBytes)],
    ['used_memory_rss', figures.memoryResidentBytes],
    ['used_memory_rss_human', human(figures.memoryResidentBytes)],
    ['used_memory_dataset', storage.bytesMemory],
    ['total_system_memory', figures.memorySystemBytes],
    ['total_system_memory_human', human(figures.memorySystemBytes)],
    ['maxmemory', figures.storageMemoryBytesMax],
    ['maxmemory_human', human(figures.storageMemoryBytesMax)],
    ['maxmemory_policy', figures.storageEviction],
    ['dure_memory_heap_total', figures.memoryHeapTotalBytes],
    ['dure_memory_rss_peak', figures.memoryResidentPeakBytes],
  ];
}

function persistence({ node, facts }: CommandContext): readonly Field[] {
  const figures = facts.figures();
  const storage = node.figures().storage;
  return [
    ['loading', 0],
    ['async_loading', 0],
    ['aof_enabled', figures.storageDurable ? 1 : 0],
    ['dure_storage_engine', figures.storageEngine],
    ['dure_storage_durability', figures.storageDurability],
    ['dure_storage_disk_bytes', storage.bytesDisk],
    ['dure_storage_commits', storage.commits],
    ['dure_storage_syncs', storage.syncs],
  ];
}

function stats({ node, facts, statistics }: CommandContext): readonly Field[] {
  const figures = facts.figures();
  return [
    ['total_connections_received', figures.connectionsReceived],
    ['total_commands_processed', statistics.commandsProcessed],
    ['instantaneous_ops_per_sec', statistics.operationsPerSecond],
    ['total_net_input_bytes', figures.inputBytes],
    ['total_net_output_bytes', figures.outputBytes],
    ['rejected_connections', figures.connectionsRejected],
    ['evicted_keys', node.figures().storage.evictions],
    ['keyspace_hits', statistics.keyspaceHits],
    ['keyspace_misses', statistics.keyspaceMisses],
    ['total_error_replies', statistics.errorReplies],
  ];
}

function cpu({ facts }: CommandContext): readonly Field[] {
  const figures = facts.figures();
  return [
    ['used_cpu_sys', figures.cpuSystemSeconds.toFixed(6)],
    ['used_cpu_user', figures.cpuUserSeconds.toFixed(6)],
  ];
}

function cluster(): readonly Field[] {
  return [['cluster_enabled', 1]];
}

function dure({ node }: CommandContext): readonly Field[] {
  const members = node.members();
  const figures = node.figures();
  const counters = Object.entries(figures).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  );
  return [
    ['dure_node', node.id],
    ['dure_cluster', node.clusterName],
    ['dure_topology_epoch', node.topology.epoch],
    ['dure_members', members.length],
    ['dure_members_live', members.filter((member) => member.live).length],
    ['dure_pair_bytes_max', node.pairBytesMax],
    ...counters.map(([name, value]): Field => [`dure_${snakeCase(name)}`, value]),
  ];
}

function dureMembers({ node }: CommandContext): readonly Field[] {
  return node
    .members()
    .map((member, index) => [
      `dure_member${index}`,
      [
        `id=${member.id}`,
        `host=${member.host}`,
        `resp_port=${member.respPort}`,
        `zone=${member.zone}`,
        `weight=${member.weight}`,
        `live=${member.live ? 1 : 0}`,
        `silence_ms=${Math.round(member.silenceMs)}`,
        `reply_p95_ms=${member.replyP95Ms.toFixed(3)}`,
      ].join(','),
    ]);
}

function commandstats({ table, statistics }: CommandContext): readonly Field[] {
  const fields: Field[] = [];
  for (const { fullName, index } of table.all) {
    const calls = statistics.calls[index]!;
    const rejected = statistics.rejected[index]!;
    if (calls === 0 && rejected === 0) continue;
    const mean = statistics.meanMilliseconds(index) * 1000;
    const microseconds = Math.round(mean * calls);
    const each = mean.toFixed(2);
    const failed = statistics.failed[index]!;
    fields.push([
      `cmdstat_${fullName}`,
      `calls=${calls},usec=${microseconds},usec_per_call=${each},rejected_calls=${rejected},failed_calls=${failed}`,
    ]);
  }
  return fields;
}

function errorstats({ statistics }: CommandContext): readonly Field[] {
  return [...statistics.errorsByCode].map(([code, count]) => [`errorstat_${code}`, `count=${count}`]);
}

interface Section {
  readonly title: string;
  readonly make: SectionMaker;
  /** Shown by INFO without arguments. */
  readonly usual: boolean;
}

const sections: ReadonlyMap<string, Section> = new Map<string, Section>([
  ['server', { title: 'Server', make: server, usual: true }],
  ['clients', { title: 'Clients', make: clients, usual: true }],
  ['memory', { title: 'Memory', make: memory, usual: true }],
  ['persistence', { title: 'Persistence', make: persistence, usual: true }],
  ['stats', { title: 'Stats', make: stats, usual: true }],
  [
    'replication',
    { title: 'Replication', make: (context, status) => replicationFields(context, status()), usual: true },
  ],
  ['cpu', { title: 'CPU', make: cpu, usual: true }],
  ['commandstats', { title: 'Commandstats', make: commandstats, usual: false }],
  ['errorstats', { title: 'Errorstats', make: errorstats, usual: true }],
  ['cluster', { title: 'Cluster', make: cluster, usual: true }],
  ['membership', { title: 'Membership', make: (_, status) => membershipFields(status()), usual: true }],
  ['hints', { title: 'Hints', make: (_, status) => hintsFields(status()), usual: true }],
  ['repair', { title: 'Repair', make: (_, status) => repairFields(status()), usual: true }],
  ['horizon', { title: 'Horizon', make: (_, status) => horizonFields(status()), usual: true }],
  ['siblings', { title: 'Siblings', make: (_, status) => siblingsFields(status()), usual: true }],
  ['dure', { title: 'Dure', make: dure, usual: true }],
  ['dure_members', { title: 'Dure members', make: dureMembers, usual: true }],
]);

const keyspace = 'keyspace';

function info(call: Call): void {
  const asked = new Set(call.args.slice(1).map((arg) => byteString(arg).toLowerCase()));
  const isUsual = asked.size === 0 || asked.has('default');
  const isAll = asked.has('all') || asked.has('everything');
  const parts: string[] = [];
  let made: NodeStatus | undefined;
  const status = (): NodeStatus => {
    made ??= call.node.status();
    return made;
  };
  for (const [name, { title, make, usual }] of sections) {
    if (isAll || (usual && isUsual) || asked.has(name))
      parts.push(sectionText(title, make(call.context, status)));
  }
  // Counting the keys asks every node and takes a while: only where it is asked for by name.
  if (!isAll && !asked.has(keyspace)) {
    call.reply(new VerbatimReply(parts.join('\r\n')));
    return;
  }
  call.node.count(0, SLOT_COUNT, call.requestOptions, (error, count) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    parts.push(sectionText('Keyspace', count === 0 ? [] : [['db0', `keys=${count},subexpiry=0`]]));
    call.reply(new VerbatimReply(parts.join('\r\n')));
  });
}

function sectionText(title: string, fields: readonly Field[]): string {
  return `# ${title}\r\n${fields.map(([name, value]) => `${name}:${value}\r\n`).join('')}`;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const units = ['B', 'K', 'M', 'G', 'T', 'P'];

/** As Redis prints sizes for people: `1.50M`. */
function human(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${size.toFixed(2)}${units[unit]}`;
}

export const INFO_HANDLERS: HandlerTable = { info };
