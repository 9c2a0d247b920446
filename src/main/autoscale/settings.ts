/**
 * The settings of the autoscaler as flags, variables and a YAML file, one table for all of them: `dure autoscale`
 * and `dure dev --autoscale` take them, and the table in docs/autoscaling.md is made from it.
 */

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { AUTOSCALE_DEFAULTS, type AutoscaleSettings, settingsProblems } from '../../autoscale/settings.ts';
import { type Problem, suggestion } from '../config-sources.ts';
import { bytes, duration, integer, type Kind, number, show } from '../config-values.ts';

export interface AutoscaleConfig extends AutoscaleSettings {
  /** Between two looks at the cluster. */
  readonly intervalMs: number;
}

export interface AutoscaleSettingInfo {
  /** In the YAML file. */
  readonly name: keyof AutoscaleConfig;
  /** After the two dashes. */
  readonly flag: string;
  readonly variable: string;
  readonly expected: string;
  /** The default as it would be written. */
  readonly fallback: string;
  readonly description: string;
}

const defaults: AutoscaleConfig = { ...AUTOSCALE_DEFAULTS, intervalMs: 5000 };
const nodesMost = 100;
const waitMsMax = 7 * 24 * 3_600_000;

type Row = readonly [flag: string, kind: Kind<number>, description: string];

const rows: Readonly<Record<keyof AutoscaleConfig, Row>> = {
  nodesMin: [
    'nodes-min',
    integer(1, nodesMost),
    'floor: never fewer nodes, nor fewer than copies (replicas)',
  ],
  nodesMax: ['nodes-max', integer(1, nodesMost), 'ceiling: never more nodes'],
  operationsTarget: [
    'target-operations',
    number(0, 10_000_000, false),
    'operations a second that a node should coordinate, on average; 0: not looked at',
  ],
  cpuTarget: [
    'target-cpu',
    number(0, 1024, false),
    'cores that a node should be busy with, on average (0.7: 70 % of one); 0: not looked at',
  ],
  p99TargetMs: [
    'target-p99',
    duration(0, 3_600_000),
    '99th percentile of the latency of Redis commands, at the node in the middle; 0: not looked at',
  ],
  diskTargetBytes: [
    'target-disk',
    bytes(0),
    'bytes that a node should store, at the fullest node; 0: not looked at',
  ],
  shrinkBelow: [
    'shrink-below',
    number(0.05, 0.95, false),
    'a node goes if the others would stay below this share of every target',
  ],
  growAfterMs: ['grow-after', duration(0, waitMsMax), 'a target must be exceeded for so long'],
  shrinkAfterMs: ['shrink-after', duration(0, waitMsMax), 'a node must have been too many for so long'],
  coolDownMs: ['cool-down', duration(0, waitMsMax), 'from the end of a change to the next decision'],
  intervalMs: ['interval', duration(100, 3_600_000), 'between two looks at the cluster'],
};

const names = Object.keys(rows) as (keyof AutoscaleConfig)[];

export const AUTOSCALE_SETTINGS: readonly AutoscaleSettingInfo[] = names.map((name) => {
  const [flag, kind, description] = rows[name];
  return {
    name,
    flag,
    variable: `DURE_AUTOSCALE_${flag.replaceAll('-', '_').toUpperCase()}`,
    expected: kind.expected,
    fallback: (kind.write ?? String)(defaults[name]),
    description,
  };
});

export interface AutoscaleSources {
  /** Path of a YAML file; empty for none. */
  readonly file: string;
  /** By flag without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Reads the settings; a flag counts before a variable, a variable before the file. Never throws. */
export function loadAutoscale(sources: AutoscaleSources): {
  /** Undefined when there are problems. */
  readonly config: AutoscaleConfig | undefined;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const config: Record<string, number> = { ...defaults };
  const take = (name: keyof AutoscaleConfig, value: unknown, where: string): void => {
    const [, kind] = rows[name];
    const read = kind.read(value);
    if (read === undefined)
      problems.push({ where, message: `expected ${kind.expected}; found ${show(value)}` });
    else config[name] = read;
  };
  for (const [key, value] of Object.entries(readFile(sources.file, problems))) {
    const name = names.find((each) => each === key);
    const where = `${sources.file} ${key}`;
    if (name === undefined) problems.push({ where, message: `unknown key${suggestion(key, names)}` });
    else take(name, value, where);
  }
  for (const { name, flag, variable } of AUTOSCALE_SETTINGS) {
    const ofFlag = sources.flags.get(flag);
    const text = ofFlag ?? sources.environment[variable];
    if (text !== undefined) take(name, readText(text), ofFlag === undefined ? variable : `--${flag}`);
  }
  const whole = config as unknown as AutoscaleConfig;
  if (problems.length === 0) {
    for (const message of settingsProblems(whole)) problems.push({ where: 'autoscale', message });
  }
  return { config: problems.length === 0 ? whole : undefined, problems };
}

function readFile(path: string, problems: Problem[]): Readonly<Record<string, unknown>> {
  if (path === '') return {};
  try {
    const tree: unknown = parse(readFileSync(path, 'utf8')) ?? {};
    if (typeof tree === 'object' && tree !== null && !Array.isArray(tree))
      return tree as Record<string, unknown>;
    problems.push({ where: path, message: 'expected settings, as "name: value" a line' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const words = code === 'ENOENT' ? 'there is no such file' : message.split('\n')[0]!;
    problems.push({ where: path, message: words });
  }
  return {};
}

/** A number, or text with a unit. */
function readText(text: string): unknown {
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}
