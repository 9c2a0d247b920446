/**
 * What an operator wants of the size of the cluster: how much work a node should do, how many nodes there may
 * be, and how patient to be. Data only, with what is wrong with it in words.
 */

export interface AutoscaleSettings {
  /** Fewest and most nodes. Never fewer than there are copies of a row (N). */
  readonly nodesMin: number;
  readonly nodesMax: number;
  /** Operations a second that a node should coordinate; 0: not looked at. */
  readonly operationsTarget: number;
  /** Cores that a node should be busy with (0.7: 70 % of one); 0: not looked at. */
  readonly cpuTarget: number;
  /** 99th percentile of the latency of commands, milliseconds; 0: not looked at. */
  readonly p99TargetMs: number;
  /** Bytes that a node should store at most; 0: not looked at. */
  readonly diskTargetBytes: number;
  /** A node is given away if the others would stay below this share of every target, 0 to 1 (excluded). */
  readonly shrinkBelow: number;
  /** A target must be exceeded for so long, and a node must have been too many for so long. */
  readonly growAfterMs: number;
  readonly shrinkAfterMs: number;
  /** From the end of a change, whoever asked for it, to the next decision. */
  readonly coolDownMs: number;
}

export const AUTOSCALE_DEFAULTS: AutoscaleSettings = {
  nodesMin: 3,
  nodesMax: 9,
  operationsTarget: 0,
  cpuTarget: 0.7,
  p99TargetMs: 0,
  diskTargetBytes: 0,
  shrinkBelow: 0.7,
  growAfterMs: 60_000,
  shrinkAfterMs: 10 * 60_000,
  coolDownMs: 5 * 60_000,
};

/** What the settings mean together that cannot be meant; empty when they can be used. */
export function settingsProblems(settings: AutoscaleSettings): readonly string[] {
  const { nodesMin, nodesMax, shrinkBelow } = settings;
  const problems: string[] = [];
  if (nodesMin > nodesMax) {
    problems.push(`nodesMin is ${nodesMin} and nodesMax ${nodesMax}: the floor is above the ceiling`);
  }
  const targets = [
    settings.operationsTarget,
    settings.cpuTarget,
    settings.p99TargetMs,
    settings.diskTargetBytes,
  ];
  if (!targets.some((target) => target > 0)) {
    problems.push('there is no target: set one of operationsTarget, cpuTarget, p99TargetMs, diskTargetBytes');
  }
  // At 1 a node that was given away would be asked for again at once.
  if (!(shrinkBelow > 0 && shrinkBelow < 1)) problems.push('shrinkBelow must lie between 0 and 1');
  return problems;
}
