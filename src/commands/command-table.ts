/**
 * Command table: all commands, made ready to be found.
 *
 * The picture: a letter rack. A name falls, by a small hash of its letters in one case, into a slot of
 * the rack, and is compared there byte by byte: no string is made for a command that is known.
 */

import { assert } from '../base/assert.ts';
import type { Command, CommandLookup, CommandSpec, Handler, InstantHandler } from './command.ts';

const rackSize = 1024;
/** Bit that tells small letters from capitals in ASCII. */
const caseBit = 0x20;

interface Slot {
  readonly name: Uint8Array;
  readonly command: Command;
  readonly next: Slot | undefined;
}

export class CommandTable implements CommandLookup {
  /** Top-level commands, in the order of the specs. */
  readonly commands: readonly Command[];
  /** Commands and subcommands together, by their `index`. */
  readonly all: readonly Command[];
  readonly #rack: (Slot | undefined)[] = new Array(rackSize).fill(undefined);

  /**
   * @param handlers by full name, `get` or `client|list`.
   * @param instants by full name, for those that have one.
   */
  constructor(
    specs: readonly CommandSpec[],
    handlers: ReadonlyMap<string, Handler>,
    instants: ReadonlyMap<string, InstantHandler>,
  ) {
    const all: Command[] = [];
    this.commands = specs.map((spec) => prepare(spec, spec.name, handlers, instants, all));
    this.all = all;
    for (const command of this.commands) {
      const name = Uint8Array.from(command.fullName, (letter) => letter.charCodeAt(0));
      const at = hashOf(name);
      this.#rack[at] = { name, command, next: this.#rack[at] };
    }
  }

  /** The command of that name in any case, or undefined. */
  find(name: Uint8Array): Command | undefined {
    for (let slot = this.#rack[hashOf(name)]; slot !== undefined; slot = slot.next) {
      if (equalLetters(slot.name, name)) return slot.command;
    }
    return undefined;
  }

  /** The command of `get` or `client|list` in any case, or undefined. */
  findFull(fullName: string): Command | undefined {
    const parts = fullName.toLowerCase().split('|');
    const command = this.find(Uint8Array.from(parts[0]!, (letter) => letter.charCodeAt(0) & 0xff));
    return parts.length === 1 || command === undefined
      ? command
      : command.subcommands?.get(parts.slice(1).join('|'));
  }
}

function prepare(
  spec: CommandSpec,
  fullName: string,
  handlers: ReadonlyMap<string, Handler>,
  instants: ReadonlyMap<string, InstantHandler>,
  all: Command[],
): Command {
  const flags = new Set(spec.flags.split(' ').filter((flag) => flag !== ''));
  const subcommands = new Map<string, Command>();
  const order = spec.order ?? 'free';
  const isKeyMode = order === 'read' || order === 'write' || order === 'update';
  const command: Command = {
    spec,
    fullName,
    index: all.length,
    handler: handlers.get(fullName),
    instant: instants.get(fullName),
    subcommands: spec.subcommands === undefined ? undefined : subcommands,
    flags,
    mode: isKeyMode ? order : order === 'plain-write' ? 'write' : 'read',
    plainArguments: order === 'plain-write' ? Math.abs(spec.arity) : Infinity,
    barrier: order === 'barrier',
    beforeAuth: flags.has('no_auth'),
    takesPolicy: spec.keys !== undefined || spec.categories.split(' ').includes('keyspace'),
  };
  all.push(command);
  for (const subcommand of spec.subcommands ?? []) {
    subcommands.set(
      subcommand.name,
      prepare(subcommand, `${fullName}|${subcommand.name}`, handlers, instants, all),
    );
  }
  assert(command.handler !== undefined || subcommands.size > 0, 'every command has a handler');
  return command;
}

function hashOf(name: Uint8Array): number {
  let hash = name.length;
  const length = Math.min(name.length, 16);
  for (let i = 0; i < length; i++) hash = Math.imul(hash, 31) + (name[i]! | caseBit);
  return (hash ^ (hash >>> 10)) & (rackSize - 1);
}

/** `known` is in small letters. */
function equalLetters(known: Uint8Array, name: Uint8Array): boolean {
  if (known.length !== name.length) return false;
  for (let i = 0; i < known.length; i++) {
    const byte = name[i]!;
    const small = byte >= 0x41 && byte <= 0x5a ? byte | caseBit : byte;
    if (small !== known[i]) return false;
  }
  return true;
}
