/** `dure autoscale` on the command line, and the settings of the autoscaler as options of any command. */

import { Command, Option } from 'commander';
import type { LocalAutoscale } from './autoscale/local.ts';
import { AUTOSCALE_SETTINGS, loadAutoscale } from './autoscale/settings.ts';
import { addSeedOptions, endWithReader, type Given, seedOptionsOf } from './cli-options.ts';
import type { Problem } from './config-sources.ts';

/** Adds a flag for each setting of the autoscaler. */
export function addAutoscaleSettings(command: Command): Command {
  for (const { flag, description, fallback } of AUTOSCALE_SETTINGS) {
    const option = new Option(`--${flag} <value>`, `${description} (default: ${fallback})`);
    command.addOption(option.helpGroup('Autoscaling:'));
  }
  return command.addOption(
    new Option('--autoscale-settings <file>', 'YAML file with these settings').helpGroup('Autoscaling:'),
  );
}

/** The settings of the autoscaler among a command's options, by flag. */
export function autoscaleFlagsOf(command: Command): Map<string, string> {
  const given = command.opts<Given>();
  const flags = new Map<string, string>();
  for (const option of command.options) {
    const value = given[option.attributeName()];
    const isOurs = AUTOSCALE_SETTINGS.some(({ flag }) => flag === option.name());
    if (isOurs && typeof value === 'string') flags.set(option.name(), value);
  }
  return flags;
}

/** What the options of `dure dev` say of autoscaling; undefined for none. */
export function localAutoscaleOf(command: Command): {
  readonly autoscale: LocalAutoscale | undefined;
  readonly problems: readonly Problem[];
} {
  const { autoscale, autoscaleDryRun, autoscaleSettings } = command.opts<Given>();
  const flags = autoscaleFlagsOf(command);
  if (autoscale !== true && autoscaleDryRun !== true) {
    const given = [...flags.keys(), ...(autoscaleSettings === undefined ? [] : ['autoscale-settings'])];
    const message = 'means something with --autoscale only';
    return { autoscale: undefined, problems: given.map((flag) => ({ where: `--${flag}`, message })) };
  }
  const file = String(autoscaleSettings ?? '');
  const { config, problems } = loadAutoscale({ file, flags, environment: process.env });
  if (config === undefined) return { autoscale: undefined, problems };
  return { autoscale: { config, dryRun: autoscaleDryRun === true }, problems };
}

export function autoscaleCommand(): Command {
  const command = addSeedOptions(new Command('autoscale'))
    .description('let a cluster grow and shrink with its load')
    .option('--through <host:port>', 'the same as --node: a member, at its HTTP port')
    .option('--kubernetes <name>', 'make nodes by scaling this StatefulSet')
    .option('--namespace <name>', 'of the StatefulSet; else that of the pod or of the kubeconfig')
    .option('--dry-run', 'decide and say so, and do nothing')
    .option('--json', 'JSON lines')
    .option('--listen <address:port>', 'serve /health/live, /metrics and /decisions there');
  addAutoscaleSettings(command);
  return command.action(async (options: Given) => {
    endWithReader();
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
    const { runAutoscale } = await import('./autoscale/command.ts');
    const text = (value: string | true | undefined): string => String(value ?? '');
    process.exitCode = await runAutoscale(
      {
        ...seedOptionsOf({ ...options, node: options.through ?? options.node }),
        settings: text(options.autoscaleSettings),
        flags: autoscaleFlagsOf(command),
        statefulSet: text(options.kubernetes),
        namespace: text(options.namespace),
        dryRun: options.dryRun === true,
        json: options.json === true,
        listen: text(options.listen),
      },
      stop.signal,
    );
  });
}

export function podStopCommand(): Command {
  const command = addSeedOptions(new Command('pod-stop'))
    .description(
      'in a pod that ends: leave the cluster if there are to be fewer pods (exit code 0), else nothing (1)',
    )
    .requiredOption('--id <node>', 'this node, which is the name of the pod')
    .requiredOption('--kubernetes <name>', 'the StatefulSet')
    .option('--namespace <name>', 'of the StatefulSet; else that of the pod');
  return command.action(async (options: Given) => {
    const { runPodStop } = await import('./autoscale/pod-stop.ts');
    const text = (value: string | true | undefined): string => String(value ?? '');
    process.exitCode = await runPodStop({
      ...seedOptionsOf(options),
      id: text(options.id),
      statefulSet: text(options.kubernetes),
      namespace: text(options.namespace),
    });
  });
}
