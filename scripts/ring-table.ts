/**
 * Prints the figures of placement (`npm run ring:table`): how even tables are and what joins and leaves
 * move, for clusters of 3 to 100 nodes. Writes nothing else.
 *
 * Each line is one cluster. Joins are tried with a newcomer of each weight and zone, leaves with a node
 * of each weight and zone, and the worst is printed. "grown" clusters were not founded at their size but
 * reached it by joins one at a time, so that wear would show.
 */

import { type Balance, balanceOf, movementOf } from '../src/ring/balance.ts';
import { place } from '../src/ring/placement.ts';
import type { RingMember, Table } from '../src/ring/table.ts';

interface Scenario {
  readonly size: number;
  readonly weights: readonly number[];
  readonly zoneCount: number;
  readonly partitionCount: number;
  readonly grown: boolean;
}

const REPLICA_COUNT = 3;

function memberOf(number: number, scenario: Scenario): RingMember {
  const { weights, zoneCount } = scenario;
  return {
    id: `node-${String(number + 1).padStart(3, '0')}`,
    weight: weights[number % weights.length]!,
    zone: `zone-${(Math.floor(number / weights.length) % zoneCount) + 1}`,
  };
}

function tableOf(scenario: Scenario): Table {
  const members = Array.from({ length: scenario.size }, (_, number) => memberOf(number, scenario));
  const options = { partitionCount: scenario.partitionCount, replicaCount: REPLICA_COUNT };
  if (!scenario.grown) return place(undefined, members, options);
  let table = place(undefined, members.slice(0, 3), options);
  for (let size = 4; size <= scenario.size; size++) table = place(table, members.slice(0, size));
  return table;
}

/** The worst ratio of moved to minimum, and the balance after, over the changes tried. */
interface Worst {
  primaries: number;
  replicas: number;
  ok: boolean;
}

function worstOf(before: Table, changes: readonly (readonly RingMember[])[]): Worst {
  const worst: Worst = { primaries: 0, replicas: 0, ok: true };
  for (const members of changes) {
    const after = place(before, members);
    const moved = movementOf(before, after);
    worst.primaries = Math.max(worst.primaries, ratio(moved.primariesMoved, moved.primariesMovedMin));
    worst.replicas = Math.max(worst.replicas, ratio(moved.replicasMoved, moved.replicasMovedMin));
    worst.ok &&= even(balanceOf(after));
  }
  return worst;
}

function ratio(moved: number, least: number): number {
  if (moved === least) return 1;
  return moved / least;
}

/** The aim of the design: within the ratio, or within one partition where that is coarser. */
function even(balance: Balance): boolean {
  const { primaries, replicas } = balance;
  return (
    (primaries.ratioMax <= 1.02 || primaries.surplusMax < 1) &&
    (replicas.ratioMax <= 1.05 || replicas.surplusMax < 1)
  );
}

function joinsOf(table: Table, scenario: Scenario): RingMember[][] {
  const kinds = scenario.weights.length * scenario.zoneCount;
  return Array.from({ length: kinds }, (_, kind) => [
    ...table.members,
    { ...memberOf(kind, scenario), id: 'node-new' },
  ]);
}

function leavesOf(table: Table, scenario: Scenario): RingMember[][] {
  const kinds = Math.min(scenario.size, scenario.weights.length * scenario.zoneCount);
  return Array.from({ length: kinds }, (_, kind) => table.members.filter((_, index) => index !== kind));
}

function line(scenario: Scenario): string[] {
  const table = tableOf(scenario);
  const started = performance.now();
  const joins = joinsOf(table, scenario);
  const join = worstOf(table, joins);
  const leaves = leavesOf(table, scenario);
  const leave = worstOf(table, leaves);
  const milliseconds = (performance.now() - started) / (joins.length + leaves.length);
  const { primaries, replicas } = balanceOf(table);
  const share = (value: number): string => value.toFixed(3);
  const ok =
    even(balanceOf(table)) &&
    join.ok &&
    leave.ok &&
    Math.max(join.primaries, join.replicas, leave.primaries, leave.replicas) <= 1.05;
  return [
    `${scenario.size}${scenario.grown ? ' grown' : ''}`,
    scenario.weights.join(':'),
    String(scenario.zoneCount),
    String(scenario.partitionCount),
    `${share(primaries.ratioMax)} (${primaries.surplusMax.toFixed(2)})`,
    `${share(replicas.ratioMax)} (${replicas.surplusMax.toFixed(2)})`,
    share(join.replicas),
    share(join.primaries),
    share(leave.replicas),
    share(leave.primaries),
    milliseconds.toFixed(0),
    ok ? 'yes' : 'NO',
  ];
}

const HEAD = [
  'nodes',
  'weights',
  'zones',
  'partitions',
  'primaries max/fair',
  'replicas max/fair',
  'join: replicas',
  'join: primaries',
  'leave: replicas',
  'leave: primaries',
  'ms',
  'aim met',
];

function scenarios(): Scenario[] {
  const found: Scenario[] = [];
  for (const zoneCount of [1, 2, 3, 5]) {
    for (const weights of [[1], [1, 2, 4]]) {
      for (const size of [3, 5, 10, 30, 100]) {
        if (weights.length * (zoneCount - 1) >= size) continue;
        found.push({ size, weights, zoneCount, partitionCount: 1024, grown: false });
      }
    }
  }
  for (const weights of [[1], [1, 2, 4]]) {
    found.push({ size: 30, weights, zoneCount: 1, partitionCount: 1024, grown: true });
    found.push({ size: 30, weights, zoneCount: 3, partitionCount: 1024, grown: true });
    found.push({ size: 100, weights, zoneCount: 1, partitionCount: 4096, grown: false });
  }
  return found;
}

function print(rows: readonly (readonly string[])[]): void {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const text = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padStart(widths[column]!)).join(' | ')} |`;
  const [head, ...body] = rows;
  const rule = widths.map((width) => `${'-'.repeat(width - 1)}:`);
  for (const row of [head!, rule, ...body]) console.log(text(row));
}

print([HEAD, ...scenarios().map(line)]);
