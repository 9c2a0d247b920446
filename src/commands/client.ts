/**
 * CLIENT: what is known of connections, and how to end them.
 */

import { type ByteString, byteString, bytesOf, utf8Text } from '../base/bytes.ts';
import { parseSafeInteger } from '../resp/number.ts';
import { OK, VerbatimReply } from '../resp/value.ts';
import { isWord, refuse, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';
import { errorReply } from './replies.ts';
import type { Session } from './session.ts';

const errorName = errorReply('ERR Client names cannot contain spaces, newlines or special characters.');
const errorNoClient = errorReply('ERR No such client');
const errorClientId = errorReply('ERR Invalid client ID');
const errorKillId = errorReply('ERR client-id should be greater than 0');

/** Printable ASCII without spaces, so that CLIENT LIST can be read. */
function isPrintable(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte > 0x20 && byte < 0x7f);
}

/** Names the session; an empty name takes it away. */
export function setName(session: Session, name: Uint8Array): void {
  if (!isPrintable(name)) refuse(errorName);
  session.name = byteString(name);
}

function setinfo(call: Call): void {
  const { args, session } = call;
  const isName = isWord(args[2]!, 'LIB-NAME');
  if (!isName && !isWord(args[2]!, 'LIB-VER')) {
    refuse(errorReply(`ERR Unrecognized option '${utf8Text(args[2]!)}'`));
  }
  if (!isPrintable(args[3]!)) {
    const field = isName ? 'lib-name' : 'lib-ver';
    refuse(errorReply(`ERR ${field} cannot contain spaces, newlines or special characters.`));
  }
  if (isName) session.libraryName = byteString(args[3]!);
  else session.libraryVersion = byteString(args[3]!);
  call.reply(OK);
}

/** One line of CLIENT LIST. Only what is known is said; fields of pub/sub and MULTI are truly zero. */
export function describeSession(session: Session, wall: number, monotonic: number): ByteString {
  const age = Math.max(0, Math.floor((wall - session.createdAt) / 1000));
  const idle = session.lastCommandAt === 0 ? age : Math.floor((monotonic - session.lastCommandAt) / 1000);
  const { link } = session;
  const flags = `${session.blocked ? 'b' : ''}${session.readOnly ? 'r' : ''}${session.noEvict ? 'e' : ''}${session.noTouch ? 'T' : ''}`;
  return [
    `id=${session.id}`,
    `addr=${session.address}`,
    `laddr=${session.localAddress}`,
    `name=${session.name}`,
    `age=${age}`,
    `idle=${idle}`,
    `flags=${flags === '' ? 'N' : flags}`,
    'db=0',
    'sub=0',
    'psub=0',
    'ssub=0',
    'multi=-1',
    `qbuf=${link.inputBytesQueued}`,
    `obl=${link.outputBytesQueued}`,
    `omem=${link.outputBytesQueued}`,
    `cmd=${session.lastCommand === '' ? 'NULL' : session.lastCommand}`,
    `user=${session.authenticated ? session.user : '(superuser)'}`,
    `resp=${session.protocol}`,
    `lib-name=${session.libraryName}`,
    `lib-ver=${session.libraryVersion}`,
    `tot-net-in=${link.inputBytes}`,
    `tot-net-out=${link.outputBytes}`,
    `tot-cmds=${session.commandCount}`,
  ].join(' ');
}

function line(call: Call, session: Session): string {
  return `${describeSession(session, call.node.wall(), call.node.monotonic())}\n`;
}

/** Whether sessions of this type exist here: all are `normal`. */
function isNormalType(type: Uint8Array): boolean {
  if (isWord(type, 'NORMAL')) return true;
  for (const other of ['MASTER', 'SLAVE', 'REPLICA', 'PUBSUB']) if (isWord(type, other)) return false;
  return refuse(errorReply(`ERR Unknown client type '${utf8Text(type)}'`));
}

function list(call: Call): void {
  const { args } = call;
  const sessions = [...call.context.facts.sessions()];
  let shown: readonly Session[] = sessions;
  if (args.length === 4 && isWord(args[2]!, 'TYPE')) {
    if (!isNormalType(args[3]!)) shown = [];
  } else if (args.length > 3 && isWord(args[2]!, 'ID')) {
    const byId = new Map(sessions.map((session) => [session.id, session]));
    shown = args.slice(3).flatMap((arg) => byId.get(parseSafeInteger(arg) ?? refuse(errorClientId)) ?? []);
  } else if (args.length !== 2) {
    syntaxError();
  }
  call.reply(new VerbatimReply(bytesOf(shown.map((session) => line(call, session)).join(''))));
}

function reply(call: Call): void {
  const { session } = call;
  const mode = call.args[2]!;
  if (isWord(mode, 'ON')) {
    session.replyMode = 'on';
    call.muted = false;
    call.reply(OK);
  } else if (isWord(mode, 'OFF')) {
    session.replyMode = 'off';
    call.silent();
  } else if (isWord(mode, 'SKIP')) {
    if (session.replyMode === 'on') session.replyMode = 'skip-next';
    call.silent();
  } else syntaxError();
}

type Filter = (session: Session) => boolean;

function kill(call: Call): void {
  const { args, session } = call;
  const sessions = [...call.context.facts.sessions()];
  if (args.length === 3) {
    const address = byteString(args[2]!);
    const found = sessions.find((candidate) => candidate.address === address);
    if (found === undefined) refuse(errorNoClient);
    call.reply(OK);
    close(found, session);
    return;
  }
  const filters: Filter[] = [];
  let skipsMe = true;
  for (let at = 2; at < args.length; at += 2) {
    const value = args[at + 1];
    if (value === undefined) syntaxError();
    if (isWord(args[at]!, 'SKIPME')) {
      if (!isWord(value, 'YES') && !isWord(value, 'NO')) syntaxError();
      skipsMe = isWord(value, 'YES');
    } else {
      filters.push(filterOf(args[at]!, value));
    }
  }
  const victims = sessions.filter(
    (candidate) => filters.every((filter) => filter(candidate)) && !(skipsMe && candidate === session),
  );
  call.reply(victims.length);
  for (const victim of victims) close(victim, session);
}

function filterOf(word: Uint8Array, value: Uint8Array): Filter {
  const text = byteString(value);
  if (isWord(word, 'ID')) {
    const id = parseSafeInteger(value);
    if (id === undefined || id < 1) refuse(errorKillId);
    return (candidate) => candidate.id === id;
  }
  if (isWord(word, 'TYPE')) {
    const isNormal = isNormalType(value);
    return () => isNormal;
  }
  if (isWord(word, 'ADDR')) return (candidate) => candidate.address === text;
  if (isWord(word, 'LADDR')) return (candidate) => candidate.localAddress === text;
  if (isWord(word, 'USER')) {
    if (text !== 'default') refuse(errorReply(`ERR No such user '${utf8Text(value)}'`));
    return (candidate) => candidate.authenticated && candidate.user === text;
  }
  return syntaxError();
}

/** Oneself is closed after the reply that says so. */
function close(victim: Session, self: Session): void {
  victim.link.close(victim === self ? 'after-replies' : 'at-once');
}

function onOff(call: Call): boolean {
  if (isWord(call.args[2]!, 'ON')) return true;
  return isWord(call.args[2]!, 'OFF') ? false : syntaxError();
}

export const CLIENT_HANDLERS: HandlerTable = {
  'client|id': (call) => call.reply(call.session.id),
  'client|getname': (call) => call.reply(call.session.name === '' ? null : bytesOf(call.session.name)),
  'client|setname': (call) => {
    setName(call.session, call.args[2]!);
    call.reply(OK);
  },
  'client|setinfo': setinfo,
  'client|info': (call) => call.reply(new VerbatimReply(bytesOf(line(call, call.session)))),
  'client|list': list,
  'client|reply': reply,
  'client|kill': kill,
  'client|no-evict': (call) => {
    call.session.noEvict = onOff(call);
    call.reply(OK);
  },
  'client|no-touch': (call) => {
    call.session.noTouch = onOff(call);
    call.reply(OK);
  },
};
