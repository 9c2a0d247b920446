/** Child processes of tests: run to their end, or started, watched and ended by their process id. */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from './wait.ts';

/** The command line of `dure` from this checkout. */
export const DURE: readonly string[] = [
  process.execPath,
  fileURLToPath(new URL('../../src/main/cli.ts', import.meta.url)),
];

export interface Finished {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs a command to its end. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const started = new Started(argv, options);
  if (options.input !== undefined) started.child.stdin!.write(options.input);
  started.child.stdin!.end();
  return started.finished(options.timeoutMs ?? 30_000);
}

/** A process that was started and whose output is kept. */
export class Started {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #end: Promise<void>;
  #failure: Error | undefined = undefined;

  constructor(argv: readonly string[], options: RunOptions = {}) {
    this.child = spawn(argv[0]!, argv.slice(1), {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: 'pipe',
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    this.#end = new Promise((done) => {
      this.child.once('close', () => done());
      this.child.once('error', (error) => {
        this.#failure = error;
        done();
      });
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits for the end; kills and fails when it does not come in time. */
  async finished(timeoutMs = 30_000): Promise<Finished> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.child.kill('SIGKILL');
    }, timeoutMs);
    await this.#end;
    clearTimeout(timer);
    if (this.#failure !== undefined) throw this.#failure;
    if (late) throw new Error(`not ended after ${timeoutMs} ms:\n${this.stdout}\n${this.stderr}`);
    const { exitCode, signalCode } = this.child;
    return { code: exitCode, signal: signalCode, stdout: this.stdout, stderr: this.stderr };
  }

  /** Waits for words in the output; fails when the process ends without them. */
  async says(words: RegExp, timeoutMs = 20_000): Promise<void> {
    await until(
      () => {
        if (words.test(this.stdout) || words.test(this.stderr)) return true;
        if (this.ended) throw new Error(`ended without ${words}:\n${this.stdout}\n${this.stderr}`);
        return false;
      },
      () => `${words} in\n${this.stdout}\n${this.stderr}`,
      timeoutMs,
    );
  }

  /** Ends it with `signal` and waits. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> {
    if (!this.ended) this.child.kill(signal);
    return this.finished();
  }
}

/** Whether a process lives (and is not only waiting to be collected by its parent). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
