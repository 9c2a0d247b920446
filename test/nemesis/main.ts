/**
 * `npm run nemesis`: the process nemesis. See `docs/nemesis.md`.
 *
 * Exit code 0: every promise was kept; 1: one was broken, or the run could not be carried out; 2: the
 * command line cannot be used. Ctrl-C ends every process at once.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NemesisCluster } from './cluster.ts';
import { isInNamespace, runInNamespace } from './namespace.ts';
import { type NemesisOptions, readOptions, USAGE, UsageError } from './options.ts';
import { pageOf } from './page.ts';
import { reportText, verdictOf } from './report.ts';
import { runNemesis } from './run.ts';

async function main(argv: readonly string[]): Promise<number> {
  let options: NemesisOptions | 'help';
  try {
    options = readOptions(argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`nemesis: ${error.message}\n\n${USAGE}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (options.faults.includes('disk') && !isInNamespace()) {
    const withSeed = argv.includes('--seed') ? argv : [...argv, '--seed', String(options.seed)];
    const code = await runInNamespace(fileURLToPath(import.meta.url), withSeed);
    if (code !== undefined) return code;
  }
  return carryOut(options);
}

async function carryOut(options: NemesisOptions): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'dure-nemesis-'));
  let cluster: NemesisCluster | undefined;
  const interrupted = (): void => {
    cluster?.endNow();
    try {
      rmSync(directory, { recursive: true, force: true });
    } catch {
      // A small disk is mounted there, which goes with this process.
    }
    process.exit(130);
  };
  process.on('SIGINT', interrupted);
  process.on('SIGTERM', interrupted);
  process.on('exit', () => cluster?.endNow());
  let good = false;
  try {
    const result = await runNemesis(options, {
      directory,
      canMount: isInNamespace(),
      say: (text) => {
        if (!options.quiet || text.startsWith('SKIPPED')) console.log(text);
      },
      onCluster: (started) => {
        cluster = started;
      },
    });
    good = result.faults.length === 0;
    if (!options.quiet || !good) console.log(reportText(result));
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, undefined, 2)}\n`);
    if (options.html !== undefined) {
      writeFileSync(options.html, pageOf(result));
      console.log(`Picture: ${resolve(options.html)}`);
    }
    console.log(verdictOf(result));
  } finally {
    if (good && !options.keep) rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    else console.log(`Data and logs: ${directory}${isInNamespace() ? ' (but for a small disk)' : ''}`);
  }
  return good ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
