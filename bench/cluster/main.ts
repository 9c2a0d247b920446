/**
 * The cluster benchmark: Dure beside Redis, etcd and a bare Node.js program, on this machine, now.
 *
 * `npm run bench -- [--rows 1,4] [--rounds N] [--seconds S] [--quick] [--json FILE] [--profile] …`
 * (`--help` lists the options; docs/benchmarks.md says how to read what it prints.)
 *
 * The picture to have in mind: a scene after the other. Of a scene all systems are up at the same time,
 * and get the same load one after the other, round after round: A B C, A B C, … While one is measured
 * the others have no clients and do nothing but their heartbeats; what that took is measured too. So a
 * disturbance of the machine hits neighbours alike, and the ratio within a round is what counts.
 */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { LoadJob, LoadResult } from './job.ts';
import { LoadGenerator } from './load-generator.ts';
import { type Row, rows, type Scene, scenes, type Workload } from './plan.ts';
import { cpuTime, endAll, endStarted, threadTimes, versionOf } from './processes.ts';
import { describe, describeParts, type Span, summarise } from './profile.ts';
import { redisBenchmark } from './redis-benchmark.ts';
import { comparisons, comparisonsTable, figures, figuresTable, type Measurement } from './report.ts';
import type { Starter, System, SystemName } from './system.ts';
import { startBare } from './system-bare.ts';
import { startDure } from './system-dure.ts';
import { startEtcd } from './system-etcd.ts';
import { startRedis } from './system-redis.ts';

const usage = `npm run bench -- [options]
  --rows 1,2,3,4,5     rows of the table of goals (default: all)
  --systems dure,...   only these of dure, redis, etcd, bare
  --rounds N           rounds of each system and work (default 5)
  --seconds S          measured time of each (default 6)
  --quick              2 rounds of 2 seconds
  --connections N      (default 64)
  --keys N             distinct keys (default 100000)
  --value-bytes N      (default 1024)
  --generator NAME     for row 4: redis-benchmark (default where installed) or own
  --dure A=B           a setting of Dure other than its default, as storage-hot-bytes-max=512MiB;
                       may be repeated
  --profile            CPU profiles of the Dure nodes (slows them by some percent), top ten of each
  --keep               leave the data directories and profiles in place, and say where
  --json FILE          where to write the results (default bench/results/<time>.json)`;

const starters: Readonly<Record<SystemName, Starter>> = {
  dure: startDure,
  redis: startRedis,
  etcd: startEtcd,
  bare: startBare,
};

interface Options {
  readonly rows: readonly Row[];
  readonly systems: readonly SystemName[];
  readonly rounds: number;
  readonly measureMs: number;
  readonly connections: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly ownGenerator: boolean;
  readonly profile: boolean;
  readonly keep: boolean;
  readonly dure: readonly string[];
  readonly json: string;
}

function whole(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${name} takes a whole number from 1, not ${text}`);
  return value;
}

function readOptions(installed: ReadonlySet<string>): Options {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '1,2,3,4,5' },
      systems: { type: 'string', default: 'dure,redis,etcd,bare' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      connections: { type: 'string', default: '64' },
      keys: { type: 'string', default: '100000' },
      'value-bytes': { type: 'string', default: '1024' },
      generator: { type: 'string', default: 'redis-benchmark' },
      profile: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      dure: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const wanted = new Set(values.rows.split(',').map((text) => whole(text, 'rows')));
  const systems = values.systems.split(',').filter((name): name is SystemName => name in starters);
  const stamp = new Date().toISOString().slice(0, 16).replace(':', '');
  const standard = fileURLToPath(new URL(`../results/${stamp}.json`, import.meta.url));
  return {
    rows: rows.filter(({ row }) => wanted.has(row)),
    systems,
    rounds: whole(values.rounds ?? (values.quick ? '2' : '5'), 'rounds'),
    measureMs: Number(values.seconds ?? (values.quick ? '2' : '6')) * 1000,
    connections: whole(values.connections, 'connections'),
    keys: whole(values.keys, 'keys'),
    valueBytes: whole(values['value-bytes'], 'value-bytes'),
    ownGenerator: values.generator === 'own' || !installed.has('redis-benchmark'),
    profile: values.profile,
    keep: values.keep,
    dure: values.dure,
    json: values.json ?? standard,
  };
}

/** The scenes' directories, for whoever interrupts. */
const directories = new Set<string>();

/** A scene while it runs. */
interface Running {
  readonly scene: Scene;
  readonly systems: readonly System[];
  readonly directory: string;
}

class Bench {
  readonly #options: Options;
  readonly #load: LoadGenerator;
  readonly measurements: Measurement[] = [];
  /** When Dure was measured last, by work, for its profiles. */
  #profiled = new Map<string, Span>();

  constructor(options: Options, load: LoadGenerator) {
    this.#options = options;
    this.#load = load;
  }

  async run(scene: Scene, installed: ReadonlySet<string>): Promise<void> {
    const wanted = this.#options.rows.filter((row) => row.scene === scene.name);
    if (wanted.length === 0) return;
    const workloads = scene.workloads.filter(({ name }) =>
      wanted.some(({ workload }) => workload === undefined || workload === name),
    );
    const names = new Set<SystemName>(['dure', ...wanted.map(({ against }) => against)]);
    const directory = mkdtempSync(join(tmpdir(), 'dure-bench-'));
    directories.add(directory);
    let systems: readonly System[] = [];
    try {
      systems = await this.#start(scene, names, installed, directory);
      const running = { scene, systems, directory };
      await this.#prepare(running, workloads);
      for (let round = 1; round <= this.#options.rounds; round += 1) {
        for (const workload of workloads) {
          for (const system of running.systems) await this.#measure(running, system, workload, round);
        }
      }
    } finally {
      await endStarted();
      if (this.#options.profile) this.#tellProfiles({ scene, systems, directory });
      if (this.#options.keep) console.log(`left in place: ${directory}`);
      else rmSync(directory, { recursive: true, force: true });
    }
  }

  async #start(
    scene: Scene,
    names: ReadonlySet<SystemName>,
    installed: ReadonlySet<string>,
    directory: string,
  ): Promise<System[]> {
    const systems: System[] = [];
    for (const name of names) {
      if (!this.#options.systems.includes(name)) continue;
      if ((name === 'redis' || name === 'etcd') && !installed.has(name)) {
        console.log(`${name} is not installed: left out`);
        continue;
      }
      const own = join(directory, name);
      mkdirSync(own);
      const { profile, dure } = this.#options;
      const dureFlags = dure.flatMap((setting) => {
        const [flag, ...value] = setting.split('=');
        return [`--${flag}`, value.join('=')];
      });
      const options = { durability: scene.name, directory: own, profile, dureFlags };
      systems.push(await starters[name](options));
      console.log(`up: ${systems.at(-1)!.label}`);
    }
    return systems;
  }

  #job(system: System, operation: LoadJob['operation'], pipeline: number, round: number): LoadJob {
    const { connections, keys, valueBytes, measureMs } = this.#options;
    const { protocol, targets, waitReplicas } = system;
    const warmUpMs = round === 0 ? 3000 : 1000;
    const common = { protocol, targets, waitReplicas, connections, keys, valueBytes };
    return { ...common, operation, pipeline, warmUpMs, measureMs, seed: round + 1 };
  }

  /** Sets every key once, where they will be read, and warms each system up with the first works. */
  async #prepare({ systems }: Running, workloads: readonly Workload[]): Promise<void> {
    for (const system of systems) {
      if (workloads.some(({ operation }) => operation === 'get')) {
        const filled = await this.#load.perform(this.#job(system, 'fill', 4, 0));
        if (filled.errors > 0) console.log(`${system.label}: ${filled.errors} errors: ${filled.firstError}`);
      }
      for (const { operation, pipeline } of workloads.slice(0, 2)) {
        await this.#load.perform({ ...this.#job(system, operation, pipeline, 0), measureMs: 100 });
      }
    }
  }

  async #measure(running: Running, system: System, workload: Workload, round: number): Promise<void> {
    const { scene, systems } = running;
    const job = this.#job(system, workload.operation, workload.pipeline, round);
    const others = systems.filter((other) => other !== system).flatMap(({ processes }) => processes);
    const sample = () => ({
      own: cpuTime(system.processes),
      others: cpuTime(others),
      threads: threadTimes(system.processes),
      us: Number(process.hrtime.bigint() / 1000n),
    });
    let [before, after] = [sample(), sample()];
    const onMeasuring = () => {
      before = sample();
    };
    const onMeasured = () => {
      after = sample();
    };
    const external = scene.name === 'memory' && !this.#options.ownGenerator;
    const result: LoadResult = await (external
      ? redisBenchmark(job, onMeasuring, onMeasured)
      : this.#load.perform(job, onMeasuring, onMeasured));
    if (system.name === 'dure') this.#profiled.set(workload.name, { fromUs: before.us, toUs: after.us });
    const wallUs = after.us - before.us;
    const spent = (from: number | undefined, to: number | undefined) =>
      from === undefined || to === undefined ? undefined : (to - from) * 1000;
    const userUs = spent(before.own?.userMs, after.own?.userMs);
    const systemUs = spent(before.own?.systemMs, after.own?.systemMs);
    const total = (sampled: typeof before.others) =>
      sampled === undefined ? undefined : sampled.userMs + sampled.systemMs;
    const idleUs = spent(total(before.others), total(after.others));
    const one: Measurement = {
      scene: scene.name,
      workload: workload.name,
      system: system.name,
      label: system.label,
      round,
      perSecond: (result.operations * 1000) / result.elapsedMs,
      errors: result.errors,
      ...(result.firstError === undefined ? {} : { firstError: result.firstError }),
      latency: result.latency,
      ...(userUs === undefined ? {} : { cpuUserUs: userUs / result.operations }),
      ...(systemUs === undefined ? {} : { cpuSystemUs: systemUs / result.operations }),
      threadsUs: Object.fromEntries(
        [...after.threads].map(([kind, ms]) => [
          kind,
          ((ms - (before.threads.get(kind) ?? 0)) * 1000) / result.operations,
        ]),
      ),
      generatorCpu: result.generatorCpuMs / result.elapsedMs,
      ...(idleUs === undefined ? {} : { idleCpu: idleUs / wallUs }),
    };
    this.measurements.push(one);
    this.#tell(one);
  }

  #tell(one: Measurement): void {
    const cpu = (one.cpuUserUs ?? 0) + (one.cpuSystemUs ?? 0);
    console.log(
      `round ${one.round}/${this.#options.rounds}  ${one.workload.padEnd(7)}  ${one.label.padEnd(34)}` +
        `${Math.round(one.perSecond).toString().padStart(8)} op/s` +
        `  p50 ${(one.latency.p50Us / 1000).toFixed(2)}  p99 ${(one.latency.p99Us / 1000).toFixed(2)} ms` +
        `  cpu ${cpu.toFixed(1)} µs/op  others ${((one.idleCpu ?? 0) * 100).toFixed(0)} % of a core` +
        (one.errors > 0 ? `  ERRORS ${one.errors}: ${one.firstError}` : ''),
    );
  }

  #tellProfiles({ systems, directory }: Running): void {
    const spans = [...this.#profiled];
    this.#profiled.clear();
    const dure = systems.find(({ name }) => name === 'dure');
    if (dure === undefined) return;
    const nodes = dure.processes.map(({ name }) => {
      const own = join(directory, 'dure', name.split(' ')[1]!);
      const files = readdirSync(own).filter((file) => file.endsWith('.cpuprofile'));
      if (files.length === 0) console.log(`${name} left no profile`);
      return { name, files: files.map((file) => join(own, file)) };
    });
    for (const [workload, span] of spans) {
      const last = this.measurements.findLast((one) => one.system === 'dure' && one.workload === workload);
      const title = `${dure.label}, ${workload}`;
      console.log(`\n${title}: processor time an operation, all nodes, by thread`);
      for (const [kind, us] of Object.entries(last?.threadsUs ?? {}).toSorted((a, b) => b[1] - a[1])) {
        if (us >= 0.1) console.log(`${us.toFixed(1).padStart(7)} µs  ${kind}`);
      }
      for (const { name, files } of nodes.length > 1 ? nodes : []) {
        console.log(`\n${describe(`${title}, ${name}`, summarise(files, span), 10).join('\n')}`);
      }
      const summary = summarise(
        nodes.flatMap(({ files }) => files),
        span,
      );
      console.log(`\n${describe(`${title}, all nodes`, summary, 20).join('\n')}`);
      console.log(`\n${describeParts(`${title}, all nodes by part`, summary, 20).join('\n')}`);
    }
  }
}

/** What the figures depend on. */
function machine(): Record<string, unknown> {
  const [cpu] = cpus();
  return {
    cores: cpus().length,
    cpu: cpu?.model.trim(),
    loadAverageAtStart: loadavg().map((value) => Number(value.toFixed(2))),
    node: process.version,
    redis: versionOf('redis-server', '--version')?.match(/v=([\d.]+)/)?.[1] ?? 'not installed',
    etcd: versionOf('etcd', '--version')?.match(/[\d.]+/)?.[0] ?? 'not installed',
    commit: versionOf('git', 'rev-parse', '--short', 'HEAD') ?? 'unknown',
  };
}

async function main(): Promise<void> {
  const about = machine();
  const installed = new Set(['redis', 'etcd'].filter((name) => about[name] !== 'not installed'));
  if (versionOf('redis-benchmark', '--version') !== undefined) installed.add('redis-benchmark');
  const options = readOptions(installed);
  const about1 = Object.entries(about).map(([name, value]) => `${name} ${String(value)}`);
  console.log(about1.join(', '));
  const load = new LoadGenerator();
  const bench = new Bench(options, load);
  const failures: string[] = [];
  try {
    for (const scene of scenes) {
      // A scene that cannot be measured must not cost the figures of the others.
      await bench.run(scene, installed).catch((error: Error) => {
        failures.push(`${scene.name}: ${error.message}`);
        console.error(`${scene.name} failed: ${error.message}`);
      });
    }
  } finally {
    load.end();
    await endAll();
  }
  const summary = figures(bench.measurements);
  const compared = comparisons(options.rows, bench.measurements);
  console.log(`\n${figuresTable(summary).join('\n')}\n\n${comparisonsTable(compared).join('\n')}`);
  mkdirSync(dirname(options.json), { recursive: true });
  const { rows: _, ...settings } = options;
  const written = { at: new Date().toISOString(), machine: about, settings, failures, compared, summary };
  writeFileSync(
    options.json,
    `${JSON.stringify({ ...written, measurements: bench.measurements }, null, 2)}\n`,
  );
  console.log(`\nwritten to ${options.json}`);
  if (failures.length > 0) process.exitCode = 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void endAll().finally(() => {
      for (const directory of directories) rmSync(directory, { recursive: true, force: true });
      process.exit(130);
    });
  });
}

await main();
