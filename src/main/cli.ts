/**
 * The command line of the server: `dure dev`, `dure start`, `dure status`, `dure repair`, `dure policy`,
 * `dure config check`; `dure node` and `dure ring` are in `cli-node.ts`, `dure autoscale` in `cli-autoscale.ts`.
 *
 * Every setting of the configuration is a flag too; `--help` lists them from the tree of settings. A
 * flag that does not exist is one more problem of the configuration, told together with the others.
 */

import { Command, CommanderError, Option } from 'commander';
import { addAutoscaleSettings, autoscaleCommand, localAutoscaleOf, podStopCommand } from './cli-autoscale.ts';
import { nodeCommand, ringCommand } from './cli-node.ts';
import { addSeedOptions, configOption, endWithReader, type Given, seedOptionsOf } from './cli-options.ts';
import { loadConfig, problemLines } from './config.ts';
import { SETTINGS, type SettingInfo } from './config-schema.ts';
import { type Problem, suggestion } from './config-sources.ts';
import { DEV_NODES_DEFAULT, DEV_OWN_SETTINGS, DEV_PORT_DEFAULT, runDev } from './dev.ts';
import { EXIT } from './exit-codes.ts';
import { VERSION } from './version.ts';

const nodeSettings: readonly SettingInfo[] = SETTINGS;
const devSettings: readonly SettingInfo[] = SETTINGS.filter(({ path }) => !DEV_OWN_SETTINGS.has(path));

/** Short names `dure dev` has for settings people change most. */
const devAliases: Readonly<Record<string, string>> = {
  engine: 'storage-engine',
  durability: 'storage-durability',
};

function addSettings(command: Command, settings: readonly SettingInfo[]): Command {
  for (const info of settings) {
    const option = new Option(`--${info.flag} <value>`, `${info.description} (default: ${info.fallback})`);
    command.addOption(option.helpGroup('Settings:'));
  }
  // Told with all other problems instead, by `strays`.
  return command.allowUnknownOption().allowExcessArguments();
}

/** The settings among a command's options, by flag. */
function flagsOf(command: Command, settings: readonly SettingInfo[]): Map<string, string> {
  const flags = new Map<string, string>();
  const given = command.opts<Record<string, unknown>>();
  for (const option of command.options) {
    const name = option.name();
    const value = given[option.attributeName()];
    if (typeof value === 'string' && settings.some(({ flag }) => flag === name)) flags.set(name, value);
  }
  return flags;
}

/** Flags and words that mean nothing. */
function strays(command: Command): Problem[] {
  const known = command.options.map((option) => `--${option.name()}`);
  const problems: Problem[] = [];
  let afterFlag = false;
  for (const word of command.args) {
    if (word.startsWith('-')) {
      const name = word.split('=')[0]!;
      problems.push({ where: name, message: `unknown flag${suggestion(name, known)}` });
    } else if (!afterFlag) {
      problems.push({ where: word, message: 'unexpected word on the command line' });
    }
    afterFlag = word.startsWith('-');
  }
  return problems;
}

function startCommand(): Command {
  const command = new Command('start').description('run one node in this process').addOption(configOption());
  command.option(
    '--accept-storage-loss',
    'go on although storage lost data it had promised to keep (once, after reading the message)',
  );
  addSettings(command, nodeSettings);
  return command.action(async (options: { config?: string; acceptStorageLoss?: boolean }) => {
    // Only a process that is to be a node loads one.
    const { runStart } = await import('./start.ts');
    await runStart({
      sources: { file: options.config, flags: flagsOf(command, nodeSettings), environment: process.env },
      problems: strays(command),
      acceptStorageLoss: options.acceptStorageLoss === true,
    });
  });
}

function devCommand(): Command {
  const command = new Command('dev')
    .description('run a whole cluster on this machine, one process a node')
    .option(
      '--nodes <count>',
      `number of nodes (default: as many as there were, else ${DEV_NODES_DEFAULT}); others join or leave`,
    )
    .option(
      '--port <port>',
      `Redis port of the first node; peers from +1000, HTTP from +2000 (default: as it was, else ${DEV_PORT_DEFAULT})`,
    )
    .option('--data-dir <directory>', 'where the nodes keep their data', '.dure')
    .option('--engine <name>', 'the same as --storage-engine')
    .option('--durability <word>', 'the same as --storage-durability')
    .option('--autoscale', 'let the number of nodes follow the load')
    .option('--autoscale-dry-run', 'only say what --autoscale would do');
  addAutoscaleSettings(command);
  addSettings(command, devSettings);
  return command.action(async (options: Record<string, string | undefined>) => {
    const flags = flagsOf(command, devSettings);
    const { autoscale, problems } = localAutoscaleOf(command);
    for (const [alias, flag] of Object.entries(devAliases)) {
      const value = options[alias];
      if (value !== undefined && !flags.has(flag)) flags.set(flag, value);
    }
    process.exitCode = await runDev({
      nodes: options.nodes === undefined ? undefined : Number(options.nodes),
      port: options.port === undefined ? undefined : Number(options.port),
      dataDir: options.dataDir!,
      flags,
      autoscale,
      problems: [...strays(command), ...problems],
    });
  });
}

const watchSecondsDefault = 2;

function statusCommand(): Command {
  const command = addSeedOptions(new Command('status'))
    .description('how the cluster is: every node, what is wrong, and what to do')
    .option('--json', 'for programs')
    .option('--watch [seconds]', `again and again, every ${watchSecondsDefault} seconds`)
    .option('--check', 'exit code 2 unless all is well');
  return command.action(async (options: Given) => {
    const { watch } = options;
    const seconds = watch === true ? watchSecondsDefault : watch === undefined ? undefined : Number(watch);
    if (seconds !== undefined && !(seconds >= 0.1 && seconds <= 86_400)) {
      process.stderr.write(`dure: --watch ${watch}: expected seconds, from 0.1 to 86400\n`);
      process.exitCode = EXIT.failed;
      return;
    }
    endWithReader();
    const { runStatus } = await import('./status.ts');
    process.exitCode = await runStatus({
      ...seedOptionsOf(options),
      json: options.json === true,
      check: options.check === true,
      watchSeconds: seconds,
    });
  });
}

function repairCommand(): Command {
  const command = addSeedOptions(new Command('repair'))
    .description('compare all replicas now, and exchange what differs')
    .option('--partition <number>', 'only this one')
    .option('--json', 'for programs: a line now and then, the last with "done": true');
  return command.action(async (options: Given) => {
    const partition = options.partition === undefined ? undefined : Number(options.partition);
    // Not only whether it is a number: to JavaScript, nothing at all is 0.
    if (partition !== undefined && !/^\d{1,9}$/.test(String(options.partition))) {
      process.stderr.write(`dure: --partition ${options.partition}: expected a number from 0\n`);
      process.exitCode = EXIT.config;
      return;
    }
    endWithReader();
    const { runRepair } = await import('./repair.ts');
    process.exitCode = await runRepair({
      ...seedOptionsOf(options),
      partition,
      json: options.json === true,
    });
  });
}

function policyCommand(): Command {
  const list = addSeedOptions(new Command('list'))
    .description('what every node goes by, prefix by prefix')
    .option('--json', 'for programs');
  list.action(async (options: Given) => {
    endWithReader();
    const { runPolicyList } = await import('./policy.ts');
    process.exitCode = await runPolicyList({ ...seedOptionsOf(options), json: options.json === true });
  });
  const change = async (prefix: string, words: string | undefined, options: Given): Promise<void> => {
    endWithReader();
    const { runPolicyChange } = await import('./policy.ts');
    const json = options.json === true;
    process.exitCode = await runPolicyChange({ ...seedOptionsOf(options), json, prefix, words });
  };
  const set = addSeedOptions(new Command('set'))
    .description('set the policy of the keys that begin with a prefix, on all nodes')
    .argument('<prefix>', '"" for the default')
    .argument(
      '<words...>',
      'PA/EL, PA/EC, PC/EL, PC/EC, or R=1 W=3 STRICT; then what changes it: SIBLINGS TTL=30s',
    )
    .option('--json', 'for programs');
  set.action((prefix: string, words: string[], options: Given) => change(prefix, words.join(' '), options));
  const unset = addSeedOptions(new Command('unset'))
    .description('take back what was set: the configurations of the nodes apply again')
    .argument('<prefix>', '"" for the default')
    .option('--json', 'for programs');
  unset.action((prefix: string, options: Given) => change(prefix, undefined, options));
  return new Command('policy')
    .description('the consistency of keys by their prefixes: see it, and change it while the cluster runs')
    .addCommand(list)
    .addCommand(set)
    .addCommand(unset);
}

function configCommand(): Command {
  const check = new Command('check').description('tell every problem of a configuration; starts nothing');
  addSettings(check.addOption(configOption()), nodeSettings);
  check.action((options: { config?: string }) => {
    const sources = { file: options.config, flags: flagsOf(check, nodeSettings), environment: process.env };
    const { config, problems, warnings } = loadConfig(sources);
    const all = [...strays(check), ...problems];
    for (const warning of warnings) process.stderr.write(`dure: warning: ${warning}\n`);
    if (config === undefined || all.length > 0) {
      process.stderr.write(`dure: ${problemLines(all)}\n`);
      process.exitCode = EXIT.config;
      return;
    }
    const { nodeId, clusterName, members, storage, dataDir } = config;
    const count = members.length === 1 ? '1 member' : `${members.length} members`;
    process.stdout.write(
      `The configuration is good: node ${nodeId} of cluster ${clusterName}, ${count}, ` +
        `${storage.engine} in ${dataDir}.\n`,
    );
  });
  return new Command('config').description('work with configurations').addCommand(check);
}

async function main(): Promise<void> {
  const program = new Command('dure')
    .description('Dure: a distributed key-value store that speaks the Redis protocol')
    .version(VERSION, '-v, --version')
    .showHelpAfterError('(dure --help lists the commands)')
    .addCommand(devCommand())
    .addCommand(startCommand())
    .addCommand(statusCommand())
    .addCommand(repairCommand())
    .addCommand(policyCommand())
    .addCommand(nodeCommand())
    .addCommand(ringCommand())
    .addCommand(autoscaleCommand())
    .addCommand(podStopCommand())
    .addCommand(configCommand());
  program.exitOverride();
  for (const command of program.commands) {
    command.exitOverride().showHelpAfterError(`(dure ${command.name()} --help tells more)`);
    for (const inner of command.commands) {
      const advice = `(dure ${command.name()} ${inner.name()} --help tells more)`;
      inner.exitOverride().showHelpAfterError(advice);
    }
  }
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.config;
    process.disconnect?.();
  }
}

await main();
