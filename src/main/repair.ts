/**
 * `dure repair`: compares all replicas now, exchanges what differs, and shows how far it is.
 *
 * Each node compares the pairs of replicas it is the first of, so every node is asked, all at once; what
 * they tell is added up. On a terminal the sum is a bar that is drawn over; else a line now and then.
 */

import { bytesWords, countWords, durationWords, plural } from '../base/words.ts';
import type { RepairLine } from '../http/repair.ts';
import { findSeeds, nobodyWords, type Output, passwordOf, type SeedOptions } from './cluster-seeds.ts';
import { EXIT } from './exit-codes.ts';
import { httpCall, problemWords, wholeText } from './http-call.ts';
import { bar, ProgressLine } from './progress-line.ts';
import { lookAtCluster, type NodeLook } from './status-fetch.ts';

export interface RepairOptions extends SeedOptions {
  readonly partition: number | undefined;
  readonly json: boolean;
}

/** The sum over the nodes. */
export interface RepairSum {
  readonly pairs: number;
  readonly equal: number;
  readonly failed: number;
  readonly rowsDiffering: number;
  readonly rowsExchanged: number;
  readonly bytes: number;
  readonly rowBytes: number;
  readonly elapsedMs: number;
}

const lookTimeoutMs = 2000;

/** @returns the exit code: 0 when all replicas that were to be compared are equal. */
export async function runRepair(
  options: RepairOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return EXIT.failed;
  const look = await lookAtCluster(seeds, lookTimeoutMs);
  const there = look.nodes.filter(({ answer }) => answer !== undefined);
  if (there.length === 0) {
    complain.write(nobodyWords(look, 'repair'));
    return EXIT.failed;
  }
  const count = there[0]!.answer!.partitions.count;
  if (options.partition !== undefined && options.partition >= count) {
    complain.write(`dure: --partition ${options.partition}: there are ${count}, from 0 to ${count - 1}\n`);
    return EXIT.config;
  }
  const lines = new Map<string, RepairLine>();
  const screen = new Screen(out, options.json);
  const password = passwordOf(options);
  const failures = await Promise.all(
    there.map((node) =>
      follow(node, options.partition, password, (line) => {
        lines.set(node.id, line);
        screen.show(sumOf([...lines.values()]));
      }),
    ),
  );
  return conclude(look.nodes, [...lines.values()], failures, screen, complain);
}

function conclude(
  nodes: readonly NodeLook[],
  lines: readonly RepairLine[],
  failures: readonly string[],
  screen: Screen,
  complain: Output,
): number {
  const sum = sumOf(lines);
  screen.end(sum);
  const problems = failures.filter((failure) => failure !== '');
  for (const { id, address, answer, problem } of nodes) {
    if (answer === undefined) problems.push(`${id} (${address}) was not asked: ${problem}`);
  }
  for (const { node, failed, error, failure } of lines) {
    if (failed > 0) problems.push(`${node}: ${plural(failed, 'pair')} not repaired: ${failure || error}`);
  }
  for (const problem of problems) complain.write(`dure: ${problem}\n`);
  return problems.length === 0 && sum.failed === 0 ? 0 : EXIT.failed;
}

/** Asks one node, and tells each line of its answer. @returns why it did not end, in words; empty if it did. */
async function follow(
  { id, address }: NodeLook,
  partition: number | undefined,
  password: string | undefined,
  tell: (line: RepairLine) => void,
): Promise<string> {
  let ended = false;
  try {
    const body = partition === undefined ? {} : { partition };
    const headers = password === undefined ? {} : { authorization: `Bearer ${password}` };
    const response = await httpCall(address, '/repair', { method: 'POST', body, headers });
    if (response.status === 401)
      return `${id}: ${password === undefined ? 'it asks for the password' : 'it does not take this password'}: set DURE_PASSWORD, or name the configuration with --config; nothing was compared`;
    if (response.status !== 200)
      return `${id}: it answered HTTP ${response.status}: ${await wholeText(response)}`;
    let rest = '';
    for await (const chunk of response.chunks) {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop()!;
      for (const part of parts) {
        const line = JSON.parse(part) as RepairLine;
        ended ||= line.done;
        tell(line);
      }
    }
  } catch (error) {
    return `${id}: ${problemWords(error)}`;
  }
  return ended ? '' : `${id}: it stopped before it was done`;
}

export function sumOf(lines: readonly RepairLine[]): RepairSum {
  const add = (read: (line: RepairLine) => number): number =>
    lines.reduce((sum, line) => sum + read(line), 0);
  return {
    pairs: add((line) => line.pairs),
    equal: add((line) => line.equal),
    failed: add((line) => line.failed),
    rowsDiffering: add((line) => line.rowsDiffering),
    rowsExchanged: add((line) => line.rowsSent + line.rowsTaken + line.rowsDropped),
    bytes: add((line) => line.bytes),
    rowBytes: add((line) => line.rowBytes),
    elapsedMs: Math.max(0, ...lines.map((line) => line.elapsedMs)),
  };
}

/** One line that says how far it is: `[████────] 42 % · 1,204 of 3,072 pairs equal · …`. */
export function progressLine(sum: RepairSum): string {
  const ended = sum.equal + sum.failed;
  // Before the first node has counted its pairs, nothing is done.
  const share = sum.pairs === 0 ? 0 : ended / sum.pairs;
  const left =
    share > 0 && share < 1 ? ` · ${durationWords((sum.elapsedMs / share) * (1 - share))} left` : '';
  return (
    `${bar(share)} ${Math.floor(share * 100)} % · ` +
    `${countWords(sum.equal)} of ${plural(sum.pairs, 'pair')} equal · ` +
    `${plural(sum.rowsExchanged, 'row')} exchanged · ${bytesWords(sum.bytes)}${left}`
  );
}

/** The last line. */
export function summaryLine(sum: RepairSum): string {
  const { pairs, equal, failed, rowsDiffering, rowsExchanged, bytes, elapsedMs } = sum;
  const outcome =
    failed === 0
      ? `all ${plural(pairs, 'pair')} of replicas equal`
      : `${countWords(equal)} of ${plural(pairs, 'pair')} of replicas equal`;
  return (
    `${outcome} after ${durationWords(elapsedMs)}: ${plural(rowsDiffering, 'row')} differed, ` +
    `${countWords(rowsExchanged)} exchanged, ${bytesWords(bytes)} between the nodes`
  );
}

class Screen {
  readonly #out: Output;
  readonly #json: boolean;
  readonly #line: ProgressLine;

  constructor(out: Output, json: boolean) {
    this.#out = out;
    this.#json = json;
    this.#line = new ProgressLine(out);
  }

  show(sum: RepairSum): void {
    if (this.#json) this.#out.write(`${JSON.stringify({ ...sum, done: false })}\n`);
    else this.#line.show(progressLine(sum));
  }

  end(sum: RepairSum): void {
    if (this.#json) {
      this.#out.write(`${JSON.stringify({ ...sum, done: true })}\n`);
      return;
    }
    this.#line.clear();
    this.#out.write(`${summaryLine(sum)}\n`);
  }
}
