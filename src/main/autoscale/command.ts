/**
 * `dure autoscale`: watches a cluster and lets it grow and shrink with its load, through Kubernetes; or, with a dry
 * run, only says what it would do. It keeps nothing: ended and started again, it goes on from what it sees.
 */

import { Controller } from '../../autoscale/controller.ts';
import { findSeeds, type Output, passwordOf, type SeedOptions } from '../cluster-seeds.ts';
import { problemLines } from '../config.ts';
import { EXIT } from '../exit-codes.ts';
import { Autoscaler } from './autoscaler.ts';
import { decisionLine, deedLine } from './decision-lines.ts';
import { Lookout } from './lookout.ts';
import { AutoscalePage, listenAddressOf } from './page.ts';
import type { Provisioner } from './provisioner.ts';
import { type AutoscaleConfig, loadAutoscale } from './settings.ts';

export interface AutoscaleOptions extends SeedOptions {
  /** YAML file with the settings; empty for none. */
  readonly settings: string;
  /** Settings by flag. */
  readonly flags: ReadonlyMap<string, string>;
  /** Name of a StatefulSet; empty for none. */
  readonly statefulSet: string;
  /** Empty: that of the pod or of the kubeconfig. */
  readonly namespace: string;
  readonly dryRun: boolean;
  /** JSON lines. */
  readonly json: boolean;
  /** `host:port` for its own page; empty for none. */
  readonly listen: string;
}

const lookTimeoutMs = 2000;
/** A look may wait for the API server, and carry something out, for so long. */
const silenceMsLeast = 120_000;

/** Runs until the signal. @returns the exit code. */
export async function runAutoscale(
  options: AutoscaleOptions,
  signal: AbortSignal,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const { flags, environment, statefulSet, dryRun } = options;
  const { config, problems } = loadAutoscale({ file: options.settings, flags, environment });
  if (config === undefined) {
    complain.write(`dure: ${problemLines(problems)}\n`);
    return EXIT.config;
  }
  if (statefulSet === '' && !dryRun) {
    complain.write(
      'dure: who makes nodes? Name a StatefulSet with --kubernetes NAME, or only look on with --dry-run.\n' +
        'On this machine, "dure dev --autoscale" makes processes.\n',
    );
    return EXIT.config;
  }
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return EXIT.failed;
  let provisioner: Provisioner | undefined;
  try {
    provisioner = await provisionerOf(options);
  } catch (error) {
    complain.write(`dure: Kubernetes cannot be asked: ${(error as Error).message}\n`);
    return EXIT.failed;
  }
  const lookout = new Lookout({ seeds, timeoutMs: lookTimeoutMs, password: passwordOf(options) });
  const { intervalMs, ...settings } = config;
  const controller = new Controller(settings);
  const page = new AutoscalePage({
    log: controller.log,
    silenceMsMax: Math.max(silenceMsLeast, 10 * intervalMs),
  });
  try {
    if (options.listen !== '') await page.listen(listenAddressOf(options.listen));
  } catch (error) {
    complain.write(`dure: --listen ${options.listen}: ${(error as Error).message}\n`);
    return EXIT.failed;
  }
  const parts = { config, controller, lookout, provisioner, page };
  await autoscalerOf(parts, options, out).run(signal);
  await page.close();
  return 0;
}

async function provisionerOf({ statefulSet, namespace }: AutoscaleOptions): Promise<Provisioner | undefined> {
  if (statefulSet === '') return undefined;
  const { kubernetesProvisioner } = await import('./kubernetes.ts');
  return kubernetesProvisioner({ statefulSet, ...(namespace === '' ? {} : { namespace }) });
}

/** What an autoscaler is made of. */
export interface AutoscalerParts {
  readonly config: AutoscaleConfig;
  readonly controller: Controller;
  readonly lookout: Lookout;
  readonly provisioner: Provisioner | undefined;
  readonly page: AutoscalePage | undefined;
}

/** An autoscaler that writes what it decides and does. */
export function autoscalerOf(
  { config, controller, lookout, provisioner, page }: AutoscalerParts,
  { dryRun, json }: { readonly dryRun: boolean; readonly json: boolean },
  out: Output,
): Autoscaler {
  const options = (): Parameters<typeof decisionLine>[1] => ({ json, dryRun, at: Date.now() });
  return new Autoscaler({
    controller,
    lookout,
    provisioner,
    dryRun,
    intervalMs: config.intervalMs,
    onLook: (decision) => page?.looked(decision),
    onDecision: (decision) => out.write(decisionLine(decision, options())),
    onDeed: (deed) => {
      page?.done(deed);
      out.write(deedLine(deed, options()));
    },
  });
}
