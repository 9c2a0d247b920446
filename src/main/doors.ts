/**
 * The doors of a node: the RESP port and the HTTP port, as the configuration asks for them.
 *
 * They are a module of their own, loaded when there is a door to open: an application that embeds a node without
 * doors does not pay for Fastify and the command table.
 */

import type { NodeDriver } from '../adapters/driver.ts';
import { Dispatcher } from '../commands/dispatch.ts';
import { HttpServer, type HttpServerOptions } from '../http/http-server.ts';
import type { Node } from '../node/node.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import { ProcessFacts } from '../server/facts.ts';
import { SERVER_LIMITS_DEFAULT, type ServerLimits } from '../server/limits.ts';
import { Password } from '../server/password.ts';
import { RespServer } from '../server/resp-server.ts';
import type { NodeConfig } from './config.ts';
import { settingsOf } from './settings.ts';
import { portError } from './start-error.ts';
import { VERSION } from './version.ts';

/** What the doors stand before. */
export interface House {
  readonly node: Node;
  readonly driver: NodeDriver;
  readonly log: Log;
  readonly random: Random;
  /** Why the node cannot serve now, in words; undefined when it can. */
  readonly fault: () => string | undefined;
  /** See `NodeProcess.drain`. */
  readonly drain: (graceMs: number) => Promise<number>;
}

/** What is done to the doors as a node drains. */
export interface Doors {
  /** No new Redis clients. */
  shut(): void;
  /** Those inside are sent to other nodes. */
  refuse(): void;
}

/**
 * Opens the doors that have a port. What closes them is laid on `undo` step by step, and `innermost` between the
 * steps: with the last client gone, before the HTTP port, so that supervisors see the node stop.
 * @throws StartError for a port that cannot be used
 */
export async function openDoors(
  config: NodeConfig,
  house: House,
  innermost: () => unknown,
  undo: (() => unknown)[],
): Promise<Doors> {
  const { node, log, fault, drain } = house;
  const { respPort, httpPort } = config.self;
  const { server, facts } = makeRespDoor(config, house);
  undo.push(() => facts.close());
  if (httpPort > 0) {
    const http = new HttpServer(
      httpOptions(config),
      { node, door: server, version: VERSION, fault, drain },
      log,
    );
    undo.push(() => http.close());
    await http.listen().catch((error: NodeJS.ErrnoException) => {
      throw portError(error, config, 'httpPort');
    });
  }
  if (respPort > 0) {
    await server.listen().catch((error: NodeJS.ErrnoException) => {
      throw portError(error, config, 'respPort');
    });
  }
  undo.push(innermost);
  undo.push(() => server.close());
  return {
    shut: () => void server.shut(),
    refuse: () => {
      facts.isDraining = true;
    },
  };
}

/** The RESP door, closed still: HTTP shows its figures, whether it is opened or not. */
function makeRespDoor(
  config: NodeConfig,
  { node, driver, log, random }: House,
): { server: RespServer; facts: ProcessFacts } {
  const { storage, password } = config;
  const facts = new ProcessFacts({
    version: VERSION,
    configFile: config.file ?? '',
    random,
    ...(password === undefined ? {} : { password }),
    storage: {
      engine: storage.engine,
      durable: storage.engine !== 'memory',
      durability: storage.durability,
      memoryBytesMax: storage.memoryBytesMax,
      eviction: storage.evictionPolicy === 'none' ? 'noeviction' : `allkeys-${storage.evictionPolicy}`,
    },
  });
  const dispatcher = new Dispatcher(node, facts);
  const server = new RespServer(
    {
      host: config.bind,
      port: config.self.respPort,
      limits: serverLimits(config),
      passwordRequired: facts.passwordRequired,
    },
    dispatcher,
    log,
    driver,
  );
  facts.attach(server);
  facts.settings = settingsOf(config, server, node);
  driver.onTurnEnd(() => server.flush());
  return { server, facts };
}

function httpOptions({ bind, self, http, password }: NodeConfig): HttpServerOptions {
  return {
    host: bind,
    port: self.httpPort,
    ...http,
    password: password === undefined ? undefined : new Password(password),
  };
}

function serverLimits({ limits }: NodeConfig): ServerLimits {
  return {
    ...SERVER_LIMITS_DEFAULT,
    clientsMax: limits.clientsMax,
    idleTimeoutMs: limits.idleTimeoutMs,
    pendingCommandsMax: limits.pendingCommandsMax,
    outputBytesHard: limits.outputBytesHard,
    outputBytesSoft: limits.outputBytesSoft,
    outputSoftMs: limits.outputSoftMs,
    bufferedBytesMax: limits.bufferedBytesMax,
  };
}
