/**
 * DURE.POLICY: the policies of key prefixes, seen and changed while the cluster runs. What is set here holds on
 * all nodes and is kept over restarts (`src/node/policy-desk.ts`).
 */

import { byteString, bytesOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Policy } from '../coordinator/policy.ts';
import { policyFromText, policyText } from '../coordinator/policy-text.ts';
import type { PolicyEntry } from '../node/api.ts';
import { MapReply, type RespValue } from '../resp/value.ts';
import type { Call, HandlerTable } from './command.ts';

function shown(call: Call, { prefix, policy, origin, time }: PolicyEntry): RespValue {
  return new MapReply([
    ['prefix', bytesOf(prefix)],
    ['policy', policyText(policy, call.node.topology.read.replicaCount)],
    ['origin', origin],
    ['set-at', time],
  ]);
}

function list(call: Call): void {
  call.reply(call.node.policies().map((entry) => shown(call, entry)));
}

/** The rule by which keys with this beginning go, as far as no longer prefix is theirs. */
function get(call: Call): void {
  const text = call.text(2);
  let found: PolicyEntry | undefined;
  for (const entry of call.node.policies()) {
    if (!text.startsWith(entry.prefix)) continue;
    if (found === undefined || entry.prefix.length >= found.prefix.length) found = entry;
  }
  call.reply(shown(call, found!));
}

function change(call: Call, policy: Policy | undefined): void {
  call.node.setPolicy(call.text(2), policy, (error, done) => {
    if (error !== undefined || done === undefined) {
      call.fail(error ?? new CodedError('unavailable', 'unknown', 'the change was answered with nothing'));
      return;
    }
    const { acknowledged, missed } = done;
    call.reply(
      new MapReply([
        ['acknowledged', acknowledged],
        ['missed', missed],
      ]),
    );
  });
}

function set(call: Call): void {
  const words = call.args.slice(3).map((word) => byteString(word));
  change(call, policyFromText(words.join(' '), call.node.topology.read.replicaCount));
}

export const POLICY_HANDLERS: HandlerTable = {
  'dure.policy|list': list,
  'dure.policy|get': get,
  'dure.policy|set': set,
  'dure.policy|unset': (call) => change(call, undefined),
};
