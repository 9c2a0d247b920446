/**
 * `npm run layers`: holds the source against the rules of the house (`scripts/layers/rules.ts`).
 *
 * Usage: node scripts/check-layers.ts [ROOT] [--function-lines-warn N] [--function-lines-max N]
 *                                     [--file-lines-warn N] [--file-lines-max N]
 *
 * ROOT is the folder that holds src/, client/ and cli/; this project by default. Exit code 0: in order
 * (warnings are shown); 1: errors; 2: the command line cannot be used.
 */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { checkTree, formatFinding, readTree } from './layers/check.ts';
import { LENGTH_LIMITS_DEFAULT, type LengthLimits } from './layers/rules.ts';

/** Gives up with exit code 2. */
function refuse(message: string): never {
  process.stderr.write(`check-layers: ${message}\n`);
  process.exit(2);
}

function readCommandLine(): { root: string; limits: LengthLimits } {
  const option = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'file-lines-warn': option,
      'file-lines-max': option,
      'function-lines-warn': option,
      'function-lines-max': option,
    },
  });
  const lines = (name: keyof typeof values, otherwise: number): number => {
    const text = values[name];
    if (text === undefined) return otherwise;
    return /^[1-9][0-9]*$/.test(text)
      ? Number(text)
      : refuse(`--${name} takes a number of lines, not \`${text}\``);
  };
  const root = path.resolve(positionals[0] ?? path.join(import.meta.dirname, '..'));
  if (!existsSync(path.join(root, 'src'))) refuse(`there is no src/ in ${root}`);
  return {
    root,
    limits: {
      fileLinesWarn: lines('file-lines-warn', LENGTH_LIMITS_DEFAULT.fileLinesWarn),
      fileLinesMax: lines('file-lines-max', LENGTH_LIMITS_DEFAULT.fileLinesMax),
      functionLinesWarn: lines('function-lines-warn', LENGTH_LIMITS_DEFAULT.functionLinesWarn),
      functionLinesMax: lines('function-lines-max', LENGTH_LIMITS_DEFAULT.functionLinesMax),
    },
  };
}

function main(): void {
  let given: ReturnType<typeof readCommandLine>;
  try {
    given = readCommandLine();
  } catch (error) {
    refuse(error instanceof Error ? error.message : String(error));
  }
  const tree = readTree(given.root);
  const findings = checkTree(tree, given.limits);
  for (const finding of findings) process.stdout.write(`${formatFinding(finding)}\n`);
  const errors = findings.filter((finding) => finding.severity === 'error').length;
  const warnings = findings.length - errors;
  process.stdout.write(`layers: ${tree.size} files, ${errors} errors, ${warnings} warnings\n`);
  process.exitCode = errors > 0 ? 1 : 0;
}

main();
