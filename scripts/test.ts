/**
 * `npm test`: everything that must hold, in one command: lint, types, layers, unit tests, integration
 * tests with real processes, and a sweep of simulation seeds.
 *
 * Each step is a process of its own with a line about how it went; every step runs, whatever the ones
 * before it said. A step that cannot run has failed. The last line says `N passed, N failed`.
 */

import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

const startedAt = performance.now();
/** All steps together, milliseconds: a test run that hangs is a failure like any other. */
const deadlineMs = 17 * 60_000;
const scratch = mkdtempSync(join(tmpdir(), 'dure-npm-test-'));

/** Hundreds of processes load the same files: each strips the types of a file, and compiles it, once for all. */
const env = { ...process.env, NODE_COMPILE_CACHE: join(scratch, 'compiled') };

interface Step {
  readonly name: string;
  readonly argv: readonly string[];
  /** Where `node --test` writes its second report, to be counted. */
  readonly report?: string;
}

interface Tally {
  passed: number;
  failed: number;
  skipped: string[];
}

const bin = (name: string): string => join('node_modules', '.bin', name);
const node = process.execPath;

function testStep(name: string, files: readonly string[], concurrency: number): Step {
  const report = join(scratch, `${name.replaceAll(' ', '-')}.tap`);
  const reporters = [
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${report}`,
  ];
  const options = [`--test-concurrency=${concurrency}`, '--test-timeout=240000', ...reporters];
  return { name, argv: [node, '--test', ...options, ...files], report };
}

/**
 * Integration tests that judge how long something takes: nothing runs beside them. The nemesis is none of them: it judges
 * promises, and leaves most of the machine idle.
 */
const timed = [
  'autoscale',
  'churn',
  'client',
  'cluster-clients',
  'drain',
  'handoff',
  'kill',
  'kill-five',
  'kubernetes',
  'link-heal',
  'lost-disk',
].map((name) => join('test', 'integration', `${name}.test.ts`));

const all = globSync('test/**/*.test.ts').sort();
const integration = all.filter((file) => file.startsWith(join('test', 'integration')));
const unit = all.filter((file) => !integration.includes(file));

const steps: readonly Step[] = [
  { name: 'lint', argv: [bin('biome'), 'check', '--error-on-warnings', '.'] },
  { name: 'types', argv: [bin('tsc'), '--noEmit'] },
  { name: 'layers', argv: [node, 'scripts/check-layers.ts'] },
  testStep('unit tests', unit, Math.max(2, availableParallelism())),
  // Each of these files runs whole clusters, which share the cores.
  testStep('integration tests, timed', timed, 1),
  testStep(
    'integration tests, others',
    integration.filter((file) => !timed.includes(file)),
    2,
  ),
  { name: 'simulation', argv: [node, 'sim/main.ts', '--seeds', '500', '--ci'] },
];

/** Runs a step to its end or to the deadline. @returns whether it ended with exit code 0. */
function run(step: Step): Promise<boolean> {
  return new Promise((done) => {
    // A group of its own, so that what it started ends with it.
    const child = spawn(step.argv[0]!, step.argv.slice(1), { stdio: 'inherit', detached: true, env });
    const left = deadlineMs - (performance.now() - startedAt);
    const timer = setTimeout(
      () => {
        console.log(`${step.name}: not done when the time for all tests was up`);
        endGroup(child.pid);
      },
      Math.max(1000, left),
    );
    const forward = (): void => endGroup(child.pid);
    process.once('SIGINT', forward);
    process.once('SIGTERM', forward);
    child.once('error', (error) => {
      console.log(`${step.name}: ${error.message}`);
      finish(false);
    });
    child.once('exit', (code) => finish(code === 0));
    const finish = (good: boolean): void => {
      clearTimeout(timer);
      process.off('SIGINT', forward);
      process.off('SIGTERM', forward);
      done(good);
    };
  });
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** Counts a report of `node --test`: its tests, not its suites. */
function count(report: string, good: boolean, tally: Tally): string {
  let text = '';
  try {
    text = readFileSync(report, 'utf8');
  } catch {
    // The step died before it wrote one.
  }
  const figure = (name: string): number => Number(new RegExp(`^# ${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const passed = figure('pass');
  let failed = figure('fail') + figure('cancelled');
  // A step that failed without a failed test (a crash, a missing file) still counts.
  if (!good && failed === 0) failed = 1;
  if (good && passed === 0) failed = 1;
  tally.passed += passed;
  tally.failed += failed;
  for (const match of text.matchAll(/^\s*ok \d+ - (.*) # SKIP(.*)$/gm))
    tally.skipped.push(`${match[1]}:${match[2]}`);
  return `${passed} passed, ${failed} failed`;
}

const seconds = (from: number): string => `${((performance.now() - from) / 1000).toFixed(1)} s`;

const tally: Tally = { passed: 0, failed: 0, skipped: [] };
const lines: string[] = [];
for (const [i, step] of steps.entries()) {
  console.log(`\n[${i + 1}/${steps.length}] ${step.name}`);
  const from = performance.now();
  const good = await run(step);
  let words = good ? 'passed' : 'FAILED';
  if (step.report !== undefined) {
    const before = tally.failed;
    words = count(step.report, good, tally);
    words = `${tally.failed > before ? 'FAILED' : 'passed'} (${words})`;
  } else if (good) tally.passed += 1;
  else tally.failed += 1;
  lines.push(`  ${step.name.padEnd(26)} ${words}, ${seconds(from)}`);
  console.log(lines.at(-1)!.trim());
}

rmSync(scratch, { recursive: true, force: true });
console.log(`\nTotal time ${seconds(startedAt)}`);
console.log(lines.join('\n'));
for (const skipped of tally.skipped) console.log(`  skipped: ${skipped}`);
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exitCode = tally.failed === 0 ? 0 : 1;
