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
import { directoryOfNamespace, runInNamespace } from './namespace.ts';
import { type NemesisOptions, readOptions, USAGE, UsageError } from './options.ts';
import { pageOf } from './page.ts';
import { reportText, verdictOf } from './report.ts';
import { runNemesis } from './run.ts';

const CODE_BROKEN = 1;
const CODE_INTERRUPTED = 130;

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
  const inside = directoryOfNamespace();
  if (inside !== undefined) return carryOut(options, inside, true);
  const directory = mkdtempSync(join(tmpdir(), 'dure-nemesis-'));
  let code: number | undefined;
  if (options.faults.includes('disk')) {
    const withSeed = argv.includes('--seed') ? argv : [...argv, '--seed', String(options.seed)];
    code = await runInNamespace(fileURLToPath(import.meta.url), withSeed, directory);
  }
  code ??= await carryOut(options, directory, false);
  if (code === CODE_BROKEN || options.keep) console.log(`Data and logs: ${directory}`);
  else rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  return code;
}

/** @param canMount whether small disks can be mounted here and are gone with this process */
async function carryOut(options: NemesisOptions, directory: string, canMount: boolean): Promise<number> {
  let cluster: NemesisCluster | undefined;
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
    cluster?.endNow();
    // In a namespace the one outside cleans up; by itself this process does.
    if (!canMount) rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    process.exit(CODE_INTERRUPTED);
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  process.on('exit', () => cluster?.endNow());
  try {
    const result = await runNemesis(options, {
      directory,
      canMount,
      say: (text) => {
        if (!options.quiet || text.startsWith('SKIPPED')) console.log(text);
      },
      onCluster: (started) => {
        cluster = started;
      },
    });
    const good = result.faults.length === 0;
    if (!options.quiet || !good) console.log(reportText(result));
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, undefined, 2)}\n`);
    if (options.html !== undefined) {
      writeFileSync(options.html, pageOf(result));
      console.log(`Picture: ${resolve(options.html)}`);
    }
    console.log(verdictOf(result));
    return good ? 0 : CODE_BROKEN;
  } catch (error) {
    if (interrupted) return CODE_INTERRUPTED;
    console.error(error);
    return CODE_BROKEN;
  }
}

process.exitCode = await main(process.argv.slice(2));
