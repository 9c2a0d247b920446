/**
 * The processes under measurement: started on ports of their own, ended by their own pid, and asked of
 * the operating system how much of a core they took.
 *
 * The picture to have in mind: whatever is started is put on one list, and `endAll` ends that list: at
 * the end, after an error and on Ctrl-C. Nothing is ever ended by name.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

const startedAll = new Set<Started>();
const pollMs = 50;
let ending = false;

/** A process that was started, and where its output goes. */
export interface Started {
  readonly name: string;
  readonly child: ChildProcess;
  readonly logFile: string;
}

/** Time on a core, in milliseconds, since a process began. */
export interface CpuTime {
  readonly userMs: number;
  readonly systemMs: number;
}

export function start(name: string, command: string, args: readonly string[], logFile: string): Started {
  if (ending) throw new Error('interrupted');
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { stdio: ['ignore', log, log] });
  closeSync(log);
  const started: Started = { name, child, logFile };
  child.on('error', () => startedAll.delete(started));
  startedAll.add(started);
  return started;
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** Asks a process to end, and insists after `patienceMs`. */
async function end(started: Started, patienceMs = 10_000): Promise<void> {
  const { child } = started;
  startedAll.delete(started);
  if (hasEnded(child)) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const insist = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  await exited;
  clearTimeout(insist);
}

/** Ends everything that was started and still runs. */
export async function endStarted(): Promise<void> {
  await Promise.all([...startedAll].map((started) => end(started)));
}

/** The same, and nothing can be started any more. */
export async function endAll(): Promise<void> {
  ending = true;
  await endStarted();
}

/** The last lines that a process wrote, for a message about its failure. */
function lastWords(started: Started): string {
  return readFileSync(started.logFile, 'utf8').trimEnd().split('\n').slice(-8).join('\n');
}

/**
 * Waits until `ready` says so; a refused connection means "not yet".
 * @throws when one of the processes has ended, or after `timeoutMs`; with the process's last words
 */
export async function until(
  processes: readonly Started[],
  ready: () => Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    for (const started of processes) {
      if (hasEnded(started.child)) throw new Error(`${started.name} has ended:\n${lastWords(started)}`);
    }
    if (await ready().catch(() => false)) return;
    if (performance.now() > deadline) {
      const words = processes.map((started) => `${started.name}:\n${lastWords(started)}`).join('\n');
      throw new Error(`not ready after ${timeoutMs} ms\n${words}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

let portNext = 20_000 + (process.pid % 100) * 100;

/** A port of loopback that nobody listens on, below the range that outgoing connections are given. */
export async function freePort(): Promise<number> {
  for (;;) {
    portNext = portNext >= 32_000 ? 20_000 : portNext + 1;
    if (await isFree(portNext)) return portNext;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}

/** Sends one Redis command. @returns the answer as text, without its RESP head */
export function ask(port: number, ...words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let answer = '';
    socket.setEncoding('latin1');
    socket.setTimeout(3000, () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
    socket.on('connect', () => {
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${parts.join('')}`);
    });
    socket.on('data', (text: string) => {
      answer += text;
      const head = answer.indexOf('\r\n');
      if (head < 0) return;
      const length = answer.startsWith('$') ? Number(answer.slice(1, head)) : -1;
      if (length >= 0 && answer.length < head + 2 + length) return;
      resolve(length >= 0 ? answer.slice(head + 2, head + 2 + length) : answer.slice(0, head));
      socket.destroy();
    });
  });
}

/** The first line that `command args` prints, or undefined when it is not installed. */
export function versionOf(command: string, ...args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split(
      '\n',
    )[0];
  } catch {
    return undefined;
  }
}

const tickMs = 10; // Linux counts processor time for /proc in hundredths of a second.

/** User and system time of a `stat` file of proc(5), with that of waited-for children where asked. */
function statTime(path: string, children: boolean): CpuTime {
  const stat = readFileSync(path, 'latin1');
  // The name in parentheses may hold blanks; what follows it begins with field 3.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user, system] = [fields[11]!, fields[12]!];
  const [userOfChildren, systemOfChildren] = children ? [fields[13]!, fields[14]!] : [0, 0];
  return { userMs: (user + userOfChildren) * tickMs, systemMs: (system + systemOfChildren) * tickMs };
}

/**
 * Processor time of all threads of the processes, and of children they have waited for (Redis rewrites
 * its log in one). @returns undefined where there is no /proc
 */
export function cpuTime(processes: readonly Started[]): CpuTime | undefined {
  try {
    const times = processes.map(({ child }) => statTime(`/proc/${child.pid}/stat`, true));
    return {
      userMs: times.reduce((sum, { userMs }) => sum + userMs, 0),
      systemMs: times.reduce((sum, { systemMs }) => sum + systemMs, 0),
    };
  } catch {
    return undefined;
  }
}

/** Processor time of the processes by kind of thread, in milliseconds; empty where there is no /proc. */
export function threadTimes(processes: readonly Started[]): Map<string, number> {
  const times = new Map<string, number>();
  for (const { child } of processes) {
    try {
      for (const thread of readdirSync(`/proc/${child.pid}/task`)) {
        const path = `/proc/${child.pid}/task/${thread}`;
        const name = readFileSync(`${path}/comm`, 'latin1').trim();
        const kind = Number(thread) === child.pid ? 'main thread' : `other threads "${name}"`;
        const { userMs, systemMs } = statTime(`${path}/stat`, false);
        times.set(kind, (times.get(kind) ?? 0) + userMs + systemMs);
      }
    } catch {
      // The thread or the process has just ended.
    }
  }
  return times;
}
