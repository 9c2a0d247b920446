/**
 * DURE.TOPOLOGY: who the members are and who owns what, in the epoch in force at this node; or where one key lives.
 */

import { MapReply, type RespValue } from '../resp/value.ts';
import { slotOf } from '../ring/slots.ts';
import { memberState } from '../topology/member-state.ts';
import { isWord, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';

function membersReply(call: Call): RespValue {
  const { node } = call;
  const { topology } = node;
  return node.members().map((member) => {
    const { id, host, respPort, peerPort, httpPort, zone, weight, live } = member;
    const { primaries, replicas } = topology.read.sharesOf(id);
    return new MapReply([
      ['id', id],
      ['state', memberState(topology, id)],
      ['host', host],
      ['port', respPort],
      ['peer-port', peerPort],
      ['http-port', httpPort],
      ['zone', zone],
      // A text, as Redis does with numbers that are no integers.
      ['weight', String(weight)],
      ['live', live ? 1 : 0],
      ['primaries', primaries],
      ['replicas', replicas],
      ['replicas-next', topology.next.sharesOf(id).replicas],
    ]);
  });
}

function whole(call: Call): void {
  const { topology } = call.node;
  const { epoch, phase, change, partitionCount, read } = topology;
  const isUnderWay = phase !== 'steady' && change !== undefined;
  call.reply(
    new MapReply([
      ['epoch', epoch],
      ['phase', phase],
      ['change', isUnderWay ? change.kind : ''],
      ['nodes', isUnderWay ? [...change.nodes] : []],
      ['gone', isUnderWay ? [...change.gone] : []],
      ['partitions', partitionCount],
      ['replicas', read.replicaCount],
      ['members', membersReply(call)],
    ]),
  );
}

function placeOfKey(call: Call): void {
  const { topology } = call.node;
  const slot = slotOf(call.text(2));
  const partition = topology.read.partitionOfSlot(slot);
  call.reply(
    new MapReply([
      ['epoch', topology.epoch],
      ['slot', slot],
      ['partition', partition],
      ['owners', [...topology.read.preferenceListOfPartition(partition)]],
      ['owners-next', [...topology.next.preferenceListOfPartition(partition)]],
    ]),
  );
}

function topology(call: Call): void {
  const { args } = call;
  if (args.length === 1) whole(call);
  else if (args.length === 3 && isWord(args[1]!, 'KEY')) placeOfKey(call);
  else syntaxError();
}

export const TOPOLOGY_HANDLERS: HandlerTable = { 'dure.topology': topology };
