/** Options that several commands of the command line take, and what is made of them. */

import { type Command, Option } from 'commander';
import type { SeedOptions } from './cluster-seeds.ts';

export const configOption = (): Option =>
  new Option('-c, --config <file>', 'YAML file with the settings').env('DURE_CONFIG');

/** For what only tells: when its reader goes away (`dure status --watch | head`), it is done. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

/** Adds the options that say whom to ask first. */
export function addSeedOptions(command: Command): Command {
  return command
    .option('--node <host:port>', 'ask this node, at its HTTP port, for the others')
    .addOption(configOption())
    .option('--data-dir <directory>', 'else, the directory of "dure dev"', '.dure');
}

export type Given = Record<string, string | true | undefined>;

export function seedOptionsOf({ node, config, dataDir }: Given): SeedOptions {
  return {
    node: String(node ?? ''),
    config: String(config ?? ''),
    dataDir: String(dataDir),
    environment: process.env,
  };
}
