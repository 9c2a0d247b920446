/**
 * `dure start`: one node in this process, from reading its configuration to its exit code.
 *
 * A node that was started by `dure dev` has a channel to its parent. It tells the parent when it is
 * ready, and ends itself when the channel closes, so that nothing is left behind whatever kills the
 * parent.
 */

import { SystemClock } from '../adapters/clock.ts';
import { FoldedLog } from '../adapters/folded-log.ts';
import { PinoLog } from '../adapters/pino-log.ts';
import { loadConfig, type NodeConfig, problemLines } from './config.ts';
import type { Problem, Sources } from './config-sources.ts';
import type { Departure } from './departure.ts';
import { EXIT } from './exit-codes.ts';
import { type NodeProcess, startNode } from './node-process.ts';
import { StartError } from './start-error.ts';

/** A stop that takes longer than this, and than its grace, is cut short, milliseconds. */
const stopMaxMs = 8000;

/** A node that is no member any more sends clients to the others for so long, milliseconds. */
const sendAwayMs = 2000;

/** How long a parent waits for a cluster to find together, milliseconds. */
const linkedMaxMs = 5000;

export interface StartOptions {
  readonly sources: Sources;
  /** Found on the command line already. */
  readonly problems: readonly Problem[];
  readonly acceptStorageLoss: boolean;
}

/** Runs until the node stops. Sets or calls the exit code. */
export async function runStart(options: StartOptions): Promise<void> {
  const loaded = loadConfig(options.sources);
  const problems = [...options.problems, ...loaded.problems];
  if (loaded.config === undefined || problems.length > 0) {
    process.stderr.write(`dure: ${problemLines(problems)}\n`);
    process.exitCode = EXIT.config;
    process.disconnect?.();
    return;
  }
  const { config } = loaded;
  const log = await openLog(config);
  for (const warning of loaded.warnings) log.write('warn', 'config-warning', { warning });
  crashLoudly(log);
  const started = endableStart();
  let node: NodeProcess;
  try {
    node = await startNode(config, { log, acceptStorageLoss: options.acceptStorageLoss });
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    log.write('error', 'start-failed', { reason: error.message.split('\n')[0] });
    process.stderr.write(`dure: ${error.message}\n`);
    process.exitCode = error.exitCode;
    started();
    process.disconnect?.();
    return;
  }
  // In this order: where nobody listens for a signal, not even for a moment, one on its way is lost.
  const stop = stopOnSignal(node, log, stopMaxMs + config.limits.drainGraceMs);
  started();
  node.departed.then((departure) => depart(departure, config, log, stop));
  node.failed.then((reason) => {
    log.write('alarm', 'storage-failed-exit', {
      reason,
      meaning: 'this node ends; started again, it checks what it still has and is made whole from its peers',
    });
    stop('its storage failed', EXIT.storageFailed);
  });
  // For the parent, ready means that requests will work, so not before the others can be reached.
  if (process.send !== undefined) {
    await node.linked(linkedMaxMs);
    if (process.connected) process.send({ ready: true });
  }
}

/**
 * A node that waits to be taken in may do so for long, and has nothing yet that a stop would have to save. Told to
 * stop it ends at once: as the first process of a container it would not, by itself.
 * @returns what is called when it has started
 */
function endableStart(): () => void {
  const ends = [
    ['disconnect', () => process.exit(EXIT.failed)],
    ['SIGTERM', () => process.exit(0)],
    ['SIGINT', () => process.exit(0)],
    ['SIGHUP', () => process.exit(0)],
  ] as const;
  for (const [event, end] of ends) process.on(event, end);
  return () => {
    for (const [event, end] of ends) process.off(event, end);
  };
}

/** The node has no part in the cluster any more, and ends. */
function depart({ kind, epoch }: Departure, { dataDir }: NodeConfig, log: FoldedLog, stop: Stop): void {
  const meaning =
    kind === 'left'
      ? `this node has left the cluster and gave away what it held; ${dataDir} may be deleted`
      : `the others go on without this node; ${dataDir} is left as it is, and belongs to nobody any more`;
  log.write(kind === 'left' ? 'info' : 'alarm', `node-${kind}`, { epoch, meaning });
  // For a parent that would start a node again that ended.
  if (process.connected) process.send?.({ departed: kind });
  const [reason, code] =
    kind === 'left' ? ['it has left the cluster', 0] : ['it was removed', EXIT.notMember];
  setTimeout(() => stop(reason, code), sendAwayMs);
}

async function openLog(config: NodeConfig): Promise<FoldedLog> {
  const { level, format } = config.log;
  const colors = process.env.FORCE_COLOR;
  const log = await PinoLog.open({
    level,
    format,
    nodeId: config.nodeId,
    ...(colors === undefined ? {} : { colors: colors !== '0' }),
  });
  return new FoldedLog(log, new SystemClock());
}

/** A bug must not go on: what it left in memory could reach the disk and the peers. */
function crashLoudly(log: FoldedLog): void {
  const crash = (error: unknown): void => {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    log.write('alarm', 'crashed', { reason: message, stack });
    log.flush();
    process.exit(EXIT.bug);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}

type Stop = (reason: string, exitCode: number) => void;

/** @returns what stops the node, for another reason than a signal. */
function stopOnSignal(node: NodeProcess, log: FoldedLog, maxMs: number): Stop {
  let stopping = false;
  const stop = (reason: string, exitCode = 0): void => {
    if (stopping) return;
    stopping = true;
    log.write('info', 'node-stopping', { reason });
    const timer = setTimeout(() => {
      log.write('error', 'stop-cut-short', { afterMs: maxMs });
      process.exit(EXIT.failed);
    }, maxMs);
    timer.unref();
    node.stop().then(
      () => {
        log.write('info', 'node-stopped');
        log.flush();
        process.exit(exitCode);
      },
      (error: unknown) => {
        // A storage that failed does not close well either.
        if (exitCode === 0) log.write('alarm', 'stop-failed', { reason: String(error) });
        log.flush();
        process.exit(exitCode === 0 ? EXIT.failed : exitCode);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  process.on('SIGHUP', () => stop('SIGHUP'));
  process.on('disconnect', () => stop('the parent process is gone'));
  return stop;
}
