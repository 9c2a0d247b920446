/**
 * CLUSTER: the ring, told the way Redis Cluster tells it, so that cluster-aware clients go straight to a
 * node that holds the key.
 *
 * The picture to have in mind: Redis knows a master and its replicas for a range of slots; Dure knows a
 * preference list. So the first *live* node of the list is shown as the master of the slots, the other live
 * ones as replicas, and a node is master for some slots and replica for others. That is only advice: any
 * node serves any key, and MOVED and ASK are sent only by a node that serves no more (`redirect.ts`).
 */

import { bytesOf } from '../base/bytes.ts';
import type { MemberView } from '../node/api.ts';
import { nodeIdHex } from '../node/id-hex.ts';
import { partitionsWithoutQuorum } from '../node/reach.ts';
import { MapReply, type RespValue, VerbatimReply } from '../resp/value.ts';
import { SLOT_COUNT, slotOf } from '../ring/slots.ts';
import type { Call, HandlerTable } from './command.ts';

/** Slots `from` to `to`, both included, and who serves them, best first. */
interface SlotRange {
  readonly from: number;
  readonly to: number;
  readonly nodes: readonly MemberView[];
}

/** Whom to show for a partition: those of its replicas that live and take Redis clients, if there are any. */
function servingOf(
  listed: readonly MemberView[],
  members: ReadonlyMap<string, MemberView>,
): readonly MemberView[] {
  const withPort = listed.filter((member) => member.respPort > 0);
  const live = withPort.filter((member) => member.live);
  if (live.length > 0) return live;
  if (withPort.length > 0) return withPort;
  // Embedded replicas that have no such port are reached through any node that has one.
  const others = [...members.values()].filter((member) => member.live && member.respPort > 0);
  return others.length > 0 ? others : listed;
}

/** The members as clients are to see them: one that drains sends them away, as if it did not live. */
function membersShown({ node, context }: Call): readonly MemberView[] {
  const members = node.members();
  if (!context.facts.isDraining) return members;
  return members.map((member) => (member.id === node.id ? { ...member, live: false } : member));
}

/** The whole ring in as few ranges as there can be: neighbours with equal lists are one. */
function slotRanges(call: Call): readonly SlotRange[] {
  const { table } = call.node;
  const members = new Map(membersShown(call).map((member) => [member.id, member]));
  const ranges: SlotRange[] = [];
  let previous = '';
  for (let partition = 0; partition < table.partitionCount; partition++) {
    const from = table.firstSlotOf(partition);
    const listed = table.preferenceListOfPartition(partition).flatMap((id) => members.get(id) ?? []);
    const nodes = servingOf(listed, members);
    const ids = nodes.map((member) => member.id).join(' ');
    const to = from + table.slotsPerPartition - 1;
    const last = ranges.at(-1);
    if (last !== undefined && ids === previous) ranges[ranges.length - 1] = { ...last, to };
    else ranges.push({ from, to, nodes });
    previous = ids;
  }
  return ranges;
}

function slots(call: Call): void {
  call.reply(
    slotRanges(call).map(({ from, to, nodes }) => [
      from,
      to,
      ...nodes.map((member): RespValue => [member.host, member.respPort, nodeIdHex(member.id), []]),
    ]),
  );
}

/** A shard is what has one list: its slots, and its nodes, the first of them master. */
function shards(call: Call): void {
  const shardsByIds = new Map<string, { readonly slots: number[]; readonly nodes: readonly MemberView[] }>();
  for (const { from, to, nodes } of slotRanges(call)) {
    const ids = nodes.map((member) => member.id).join(' ');
    const shard = shardsByIds.get(ids) ?? { slots: [], nodes };
    shardsByIds.set(ids, shard);
    shard.slots.push(from, to);
  }
  call.reply(
    [...shardsByIds.values()].map(
      (shard) =>
        new MapReply([
          ['slots', shard.slots],
          ['nodes', shard.nodes.map(shardNode)],
        ]),
    ),
  );
}

function shardNode(member: MemberView, index: number): MapReply {
  return new MapReply([
    ['id', nodeIdHex(member.id)],
    ['port', member.respPort],
    ['ip', member.host],
    ['endpoint', member.host],
    ['role', index === 0 ? 'master' : 'replica'],
    ['replication-offset', 0],
    ['health', member.live ? 'online' : 'fail'],
  ]);
}

/** A line a member: `id host:port@cport flags master ping-sent pong-received epoch link slots…`. */
function nodes(call: Call): void {
  const { node } = call;
  const slotsOf = new Map<string, string[]>();
  for (const range of slotRanges(call)) {
    const id = range.nodes[0]!.id;
    const list = slotsOf.get(id) ?? [];
    slotsOf.set(id, list);
    list.push(range.from === range.to ? String(range.from) : `${range.from}-${range.to}`);
  }
  const wall = node.wall();
  const lines = node.members().map((member) => {
    const isSelf = member.id === node.id;
    const portless = member.respPort === 0 ? ',noaddr' : '';
    const flags = `${isSelf ? 'myself,' : ''}master${member.live ? '' : ',fail'}${portless}`;
    const heardAt = isSelf ? 0 : Math.max(0, Math.round(wall - member.silenceMs));
    const address = `${member.host}:${member.respPort}@${member.peerPort}`;
    const link = member.live ? 'connected' : 'disconnected';
    const held = slotsOf.get(member.id) ?? [];
    return [nodeIdHex(member.id), address, flags, '-', 0, heardAt, node.topology.epoch, link, ...held].join(
      ' ',
    );
  });
  call.reply(new VerbatimReply(bytesOf(lines.map((line) => `${line}\n`).join(''))));
}

/**
 * `cluster_state` is `fail` when no slot has a quorum. Clients that wait for `ok` would otherwise stay
 * away from the slots that are served, because others are not.
 */
function info(call: Call): void {
  const { node } = call;
  const members = node.members();
  const partitions = node.table.partitionCount;
  const served = (partitions - partitionsWithoutQuorum(node)) * (SLOT_COUNT / partitions);
  const primaries = new Set(slotRanges(call).map((range) => range.nodes[0]!.id));
  const fields: readonly (readonly [string, string | number])[] = [
    ['cluster_state', served > 0 ? 'ok' : 'fail'],
    ['cluster_slots_assigned', SLOT_COUNT],
    ['cluster_slots_ok', served],
    ['cluster_slots_pfail', 0],
    ['cluster_slots_fail', SLOT_COUNT - served],
    ['cluster_known_nodes', members.length],
    ['cluster_size', primaries.size],
    ['cluster_current_epoch', node.topology.epoch],
    ['cluster_my_epoch', node.topology.epoch],
    ['cluster_stats_messages_sent', node.figures().messagesSent],
  ];
  call.reply(new VerbatimReply(fields.map(([name, value]) => `${name}:${value}\r\n`).join('')));
}

export const CLUSTER_HANDLERS: HandlerTable = {
  'cluster|slots': slots,
  'cluster|shards': shards,
  'cluster|nodes': nodes,
  'cluster|info': info,
  'cluster|myid': (call) => call.reply(call.node.idHex),
  // A node is its own shard: it is the primary of its slots, and no two are primaries of the same.
  'cluster|myshardid': (call) => call.reply(call.node.idHex),
  'cluster|keyslot': (call) => call.reply(slotOf(call.text(2))),
};
