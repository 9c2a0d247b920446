/**
 * Where the keys are: for routing, for keeping order, and for COMMAND GETKEYS.
 */

import { type ByteString, byteString } from '../base/bytes.ts';
import type { Command } from './command.ts';

const noKeys: readonly ByteString[] = [];

/** The keys among the arguments of a command. The number of arguments must fit its arity. */
export function keysOf(command: Command, args: readonly Uint8Array[]): readonly ByteString[] {
  const spec = command.spec.keys;
  if (spec === undefined) return noKeys;
  if (spec.first === spec.last) return [byteString(args[spec.first]!)];
  const last = spec.last < 0 ? args.length + spec.last : spec.last;
  const keys: ByteString[] = [];
  for (let at = spec.first; at <= last; at += spec.step) keys.push(byteString(args[at]!));
  return keys;
}
