/**
 * Server commands: the time, the role, waiting for replicas, and emptying the cluster.
 */

import { OK } from '../resp/value.ts';
import { clampedIntegerOf, isWord, refuse, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';
import { errorReply } from './replies.ts';

const errorTimeout = errorReply('ERR timeout is not an integer or out of range');
const errorTimeoutNegative = errorReply('ERR timeout is negative');

/** Seconds and microseconds; the clock of a node counts milliseconds. */
function time(call: Call): void {
  const wall = call.node.wall();
  call.reply([String(Math.floor(wall / 1000)), String((wall % 1000) * 1000)]);
}

/** Every node takes every write, and there are no replication offsets: the role of all is master. */
function role(call: Call): void {
  call.reply(['master', 0, []]);
}

/**
 * Makes every key written so far dead in the whole cluster. ASYNC and SYNC are the same: the flush is a
 * stamp, below which rows are dead at once; their bytes go later.
 */
function flush(call: Call): void {
  const { args } = call;
  if (args.length > 2) syntaxError();
  if (args.length === 2 && !isWord(args[1]!, 'ASYNC') && !isWord(args[1]!, 'SYNC')) syntaxError();
  call.node.flush(call.requestOptions, (error) => {
    if (error !== undefined) call.fail(error);
    else call.reply(OK);
  });
}

/** Replicas beside the coordinator that hold the writes of this connection since its last WAIT. */
function replicasReached(call: Call): number {
  const acknowledgements = call.session.writeAcknowledgements();
  if (acknowledgements !== undefined) return Math.max(0, acknowledgements - 1);
  const live = call.node.members().filter((member) => member.live).length;
  return Math.max(0, Math.min(call.node.replicas, live) - 1);
}

/**
 * `WAIT numreplicas timeout`: answers how many replicas, beside the coordinator, made the writes of this
 * connection durable: the least over its writes. It waits until they are enough, until the timeout (0:
 * none), or until no more acknowledgements can come.
 */
function wait(call: Call): void {
  const wanted = clampedIntegerOf(call.args[1]!);
  const timeoutMs = clampedIntegerOf(call.args[2]!, errorTimeout);
  if (timeoutMs < 0) refuse(errorTimeoutNegative);
  const { session, node } = call;
  const deadline = timeoutMs === 0 ? Infinity : node.monotonic() + timeoutMs;
  const answer = (): boolean => {
    const reached = replicasReached(call);
    const isOver = session.writesSettled() || node.monotonic() >= deadline || session.closed;
    if (reached < wanted && !isOver) return false;
    session.blocked = false;
    session.writesAnswered();
    call.reply(reached);
    return true;
  };
  if (answer()) return;
  session.blocked = true;
  call.context.facts.poll(answer);
}

export const SERVER_HANDLERS: HandlerTable = {
  time,
  role,
  flushall: flush,
  flushdb: flush,
  wait,
};
