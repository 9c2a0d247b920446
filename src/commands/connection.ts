/**
 * Connection commands: the handshake (HELLO, AUTH), and what a client says about itself and the line.
 */

import { byteString, utf8Text } from '../base/bytes.ts';
import { type ErrorReply, MapReply, OK, PONG, RESET } from '../resp/value.ts';
import { clampedIntegerOf, integer32Of, isWord, refuse, syntaxError } from './arguments.ts';
import { setName } from './client.ts';
import type { Call, HandlerTable } from './command.ts';
import { ERROR_DB_INDEX, ERROR_PROTOCOL_VERSION, ERROR_WRONG_PASSWORD, errorReply } from './replies.ts';
import type { Session } from './session.ts';
import { REDIS_VERSION } from './versions.ts';

const errorVersionText = errorReply('ERR Protocol version is not an integer or out of range');
const errorHelloAuth = errorReply(
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time',
);
const errorNoPassword = errorReply(
  'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
);

/** Lets the session in, or gives the error. There is one user, `default`. */
function authenticate(call: Call, user: string, password: Uint8Array): ErrorReply | undefined {
  const { facts } = call.context;
  const allowed = facts.passwordRequired ? facts.passwordMatches(user, password) : user === 'default';
  if (!allowed) return ERROR_WRONG_PASSWORD;
  call.session.authenticated = true;
  call.session.user = user;
  return undefined;
}

function auth(call: Call): void {
  const { args } = call;
  if (args.length > 3) syntaxError();
  if (args.length === 2 && !call.context.facts.passwordRequired) refuse(errorNoPassword);
  const user = args.length === 3 ? byteString(args[1]!) : 'default';
  call.reply(authenticate(call, user, args[args.length - 1]!) ?? OK);
}

function hello(call: Call): void {
  const { args, session } = call;
  const version = args.length > 1 ? clampedIntegerOf(args[1]!, errorVersionText) : session.protocol;
  if (version !== 2 && version !== 3) refuse(ERROR_PROTOCOL_VERSION);
  for (let at = 2; at < args.length; at++) {
    const more = args.length - 1 - at;
    if (isWord(args[at]!, 'AUTH') && more >= 2) {
      const error = authenticate(call, byteString(args[at + 1]!), args[at + 2]!);
      if (error !== undefined) refuse(error);
      at += 2;
    } else if (isWord(args[at]!, 'SETNAME') && more >= 1) {
      setName(session, args[++at]!);
    } else {
      refuse(errorReply(`ERR Syntax error in HELLO option '${utf8Text(args[at]!)}'`));
    }
  }
  if (!session.authenticated) refuse(errorHelloAuth);
  session.protocol = version;
  call.reply(welcome(session));
}

/** `mode` is `cluster` even for one node, so that cluster clients work with any number of them. */
function welcome(session: Session): MapReply {
  return new MapReply([
    ['server', 'redis'],
    ['version', REDIS_VERSION],
    ['proto', session.protocol],
    ['id', session.id],
    ['mode', 'cluster'],
    ['role', 'master'],
    ['modules', []],
  ]);
}

function ping(call: Call): void {
  if (call.args.length > 2) refuse(errorReply("ERR wrong number of arguments for 'ping' command"));
  call.reply(call.args[1] ?? PONG);
}

function select(call: Call): void {
  if (integer32Of(call.args[1]!) !== 0) refuse(ERROR_DB_INDEX);
  call.reply(OK);
}

function reset(call: Call): void {
  call.session.reset(!call.context.facts.passwordRequired);
  call.muted = false;
  call.reply(RESET);
}

function quit(call: Call): void {
  call.reply(OK);
  call.session.link.close('after-replies');
}

export const CONNECTION_HANDLERS: HandlerTable = {
  auth,
  hello,
  ping,
  echo: (call) => call.reply(call.args[1]!),
  select,
  reset,
  quit,
  readonly: (call) => {
    call.session.readOnly = true;
    call.reply(OK);
  },
  readwrite: (call) => {
    call.session.readOnly = false;
    call.reply(OK);
  },
  // Redirections are never given, so there is nothing to ask for.
  asking: (call) => call.reply(OK),
};
