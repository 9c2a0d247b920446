/**
 * The picture of a run as SVG, by hand: the faults as bars with their names, and below them, on one axis of
 * time, requests a second, failures a second and latency. Every fault runs as a band through all of them.
 *
 * Colours are classes, so that the page's style decides them for light and dark.
 */

import type { Figures, Step } from './figures.ts';
import type { FaultKind } from './plan.ts';

/** Sizes in units of the drawing. */
export const CHART = { width: 1120, left: 56, right: 16, laneHeight: 22 } as const;

const plotWidth = CHART.width - CHART.left - CHART.right;
const titleHeight = 30;
const lanesMax = 6;
const characterWidth = 6.3;
/** Latencies are drawn from here up, milliseconds. */
const latencyMinMs = 0.5;

/** What a fault looks like. */
export function faultClass(kind: FaultKind): string {
  if (kind === 'freeze') return 'freeze';
  if (kind === 'disk-full') return 'disk';
  return kind === 'kill' || kind === 'kill-all' || kind === 'crash-loop' ? 'kill' : 'cut';
}

interface Panel {
  readonly top: number;
  readonly height: number;
}

interface Scene {
  readonly figures: Figures;
  readonly healedAtMs: number;
  readonly x: (ms: number) => number;
  readonly parts: string[];
}

/** The drawing. */
export function chartOf(figures: Figures, healedAtMs: number, deadlineMs: number): string {
  const x = (ms: number): number => CHART.left + (ms / figures.durationMs) * plotWidth;
  const scene: Scene = { figures, healedAtMs, x, parts: [] };
  const lanes = layLanes(figures, x);
  const lanesTop = titleHeight;
  let top = lanesTop + Math.max(1, lanes.rows) * CHART.laneHeight + 6;
  const next = (height: number): Panel => {
    const panel = { top: top + titleHeight, height };
    top = panel.top + height;
    return panel;
  };
  const rate = next(150);
  const failures = next(80);
  const latency = next(170);
  const bottom = top;
  drawBands(scene, lanesTop, bottom);
  drawTime(scene, [rate, failures, latency]);
  title(scene, 'Faults', 0);
  drawLanes(scene, lanes, lanesTop);
  drawRate(scene, rate);
  drawFailures(scene, failures);
  drawLatency(scene, latency, deadlineMs);
  scene.parts.push(`<line id="cross" class="cross" x1="0" x2="0" y1="${lanesTop}" y2="${bottom}"/>`);
  const height = bottom + 30;
  return [
    `<svg id="chart" viewBox="0 0 ${CHART.width} ${height}" role="img" tabindex="0"`,
    ' aria-label="Requests, failures and latency over time, with every fault">',
    ...scene.parts,
    '</svg>',
  ].join('');
}

interface Lanes {
  readonly rows: number;
  /** By fault: its row and what is written beside its bar. */
  readonly places: readonly { readonly row: number; readonly label: string }[];
}

/** Puts bars and names into rows where they do not cover each other; numbers alone, if names need too many. */
function layLanes(figures: Figures, x: (ms: number) => number): Lanes {
  const lay = (labelOf: (name: string, index: number) => string): Lanes => {
    const ends: number[] = [];
    const places = figures.faults.map((fault, i) => {
      const label = labelOf(fault.name, i);
      const from = x(fault.from);
      let row = ends.findIndex((end) => end < from);
      if (row < 0) row = ends.length;
      ends[row] = Math.max(x(fault.to), from + 4) + label.length * characterWidth + 14;
      return { row, label };
    });
    return { rows: ends.length, places };
  };
  const named = lay((name, i) => `${i + 1} ${name}`);
  return named.rows <= lanesMax ? named : lay((_, i) => String(i + 1));
}

function drawBands(scene: Scene, top: number, bottom: number): void {
  const { figures, healedAtMs, x, parts } = scene;
  for (const fault of figures.faults) {
    const width = Math.max(1, x(fault.to) - x(fault.from));
    const place = `x="${fix(x(fault.from))}" y="${top}" width="${fix(width)}" height="${bottom - top}"`;
    parts.push(`<rect class="band ${faultClass(fault.kind)}" ${place}/>`);
  }
  const width = x(figures.durationMs) - x(healedAtMs);
  const place = `x="${fix(x(healedAtMs))}" y="${top}" width="${fix(width)}" height="${bottom - top}"`;
  parts.push(`<rect class="band healed" ${place}/>`);
}

function drawLanes({ figures, x, parts, healedAtMs }: Scene, lanes: Lanes, top: number): void {
  lanes.places.forEach(({ row, label }, i) => {
    const fault = figures.faults[i]!;
    const width = Math.max(3, x(fault.to) - x(fault.from));
    const y = top + row * CHART.laneHeight;
    const bar = `x="${fix(x(fault.from))}" y="${y + 4}" width="${fix(width)}" height="12" rx="2"`;
    parts.push(
      `<rect class="bar ${faultClass(fault.kind)}" ${bar}/>`,
      `<text class="name" x="${fix(x(fault.from) + width + 4)}" y="${y + 14}">${safeText(label)}</text>`,
    );
  });
  parts.push(`<text class="name" x="${fix(x(healedAtMs) + 4)}" y="${top - 6}">healed</text>`);
}

function title({ parts }: Scene, text: string, top: number): void {
  parts.push(`<text class="title" x="${CHART.left}" y="${top + 18}">${safeText(text)}</text>`);
}

/** Lines across a panel at round values, and their figures. */
function grid(
  { parts }: Scene,
  panel: Panel,
  values: readonly number[],
  y: (value: number) => number,
  text: (value: number) => string,
): void {
  for (const value of values) {
    const at = fix(y(value));
    parts.push(
      `<line class="grid" x1="${CHART.left}" x2="${CHART.width - CHART.right}" y1="${at}" y2="${at}"/>`,
      `<text class="tick" x="${CHART.left - 6}" y="${fix(y(value) + 3.5)}" text-anchor="end">${text(value)}</text>`,
    );
  }
  const base = panel.top + panel.height;
  parts.push(
    `<line class="axis" x1="${CHART.left}" x2="${CHART.width - CHART.right}" y1="${base}" y2="${base}"/>`,
  );
}

/** By step. The last is cut short by the end of the load: of less than half of one nothing can be said. */
function perSecond(scene: Scene, count: (step: Step) => number): number[] {
  const { stepMs, durationMs, steps } = scene.figures;
  const rates: number[] = [];
  for (const step of steps) {
    const length = Math.min(stepMs, durationMs - step.fromMs);
    if (length >= stepMs / 2) rates.push((count(step) * 1000) / length);
  }
  return rates;
}

function drawRate(scene: Scene, panel: Panel): void {
  const ok = perSecond(scene, (step) => step.ok);
  const all = perSecond(scene, (step) => step.ok + step.fail + step.unknown);
  const most = roundUp(Math.max(1, ...all));
  const y = (value: number): number => panel.top + panel.height * (1 - value / most);
  title(scene, 'Requests a second: answered, and sent', panel.top - titleHeight);
  grid(scene, panel, [0, most / 2, most], y, String);
  const base = panel.top + panel.height;
  const line = stairs(scene, ok, y);
  const last = ok.length;
  const to = fix(scene.x(Math.min(scene.figures.durationMs, last * scene.figures.stepMs)));
  scene.parts.push(
    `<path class="ok-area" d="${line}V${base}L${to} ${base}H${CHART.left}Z"/>`,
    `<path class="ok-line" d="${line}"/>`,
    `<path class="sent-line" d="${stairs(scene, all, y)}"/>`,
  );
}

function drawFailures(scene: Scene, panel: Panel): void {
  const fail = perSecond(scene, (step) => step.fail);
  const unknown = perSecond(scene, (step) => step.unknown);
  const most = roundUp(Math.max(1, ...fail.map((value, i) => value + unknown[i]!)));
  const y = (value: number): number => panel.top + panel.height * (1 - value / most);
  title(scene, 'Failures a second: certainly not applied, and not known', panel.top - titleHeight);
  grid(scene, panel, [0, most / 2, most], y, String);
  const { steps, stepMs, durationMs } = scene.figures;
  fail.forEach((_, i) => {
    const { fromMs } = steps[i]!;
    const from = scene.x(fromMs);
    const width = Math.max(0.8, scene.x(Math.min(durationMs, fromMs + stepMs)) - from - 0.4);
    const bar = (name: string, low: number, high: number): void => {
      if (high <= low) return;
      const place = `x="${fix(from)}" y="${fix(y(high))}" width="${fix(width)}" height="${fix(y(low) - y(high))}"`;
      scene.parts.push(`<rect class="${name}" ${place}/>`);
    };
    bar('fail', 0, fail[i]!);
    bar('unknown', fail[i]!, fail[i]! + unknown[i]!);
  });
}

function drawLatency(scene: Scene, panel: Panel, deadlineMs: number): void {
  const { steps, stepMs } = scene.figures;
  const most = Math.max(deadlineMs * 1.3, ...steps.map(({ max }) => max));
  const share = (ms: number): number =>
    Math.log(Math.max(ms, latencyMinMs) / latencyMinMs) / Math.log(most / latencyMinMs);
  const y = (ms: number): number => panel.top + panel.height * (1 - share(ms));
  title(
    scene,
    'Latency of answers: median, 99th percentile and longest (logarithmic)',
    panel.top - titleHeight,
  );
  const decades = [1, 10, 100, 1000, 10_000].filter((ms) => ms <= most);
  grid(scene, panel, decades, y, (ms) => (ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`));
  const at = fix(y(deadlineMs));
  scene.parts.push(
    `<line class="deadline" x1="${CHART.left}" x2="${CHART.width - CHART.right}" y1="${at}" y2="${at}"/>`,
    `<text class="tick" x="${CHART.width - CHART.right}" y="${fix(y(deadlineMs) - 4)}" text-anchor="end">deadline</text>`,
  );
  for (const name of ['p50', 'p99'] as const) {
    let path = '';
    let pen = 'M';
    for (const step of steps) {
      if (step.ok === 0) pen = 'M';
      else {
        path += `${pen}${fix(scene.x(step.fromMs + stepMs / 2))} ${fix(y(step[name]))}`;
        pen = 'L';
      }
    }
    scene.parts.push(`<path class="${name}" d="${path}"/>`);
  }
  for (const step of steps) {
    if (step.ok === 0) continue;
    const cx = fix(scene.x(step.fromMs + stepMs / 2));
    scene.parts.push(`<circle class="max" cx="${cx}" cy="${fix(y(step.max))}" r="1.6"/>`);
  }
}

function drawTime({ figures, x, parts }: Scene, panels: readonly Panel[]): void {
  const bottom = Math.max(...panels.map(({ top, height }) => top + height));
  const every =
    [5, 10, 20, 30, 60, 120, 300, 600, 1800].find((s) => figures.durationMs / 1000 / s <= 14) ?? 3600;
  for (let s = 0; s * 1000 <= figures.durationMs; s += every) {
    const at = fix(x(s * 1000));
    const text = every < 60 ? `${s} s` : `${s / 60} min`;
    parts.push(
      ...panels.map(({ top, height }) => {
        return `<line class="grid" x1="${at}" x2="${at}" y1="${top}" y2="${top + height}"/>`;
      }),
      `<text class="tick" x="${at}" y="${bottom + 18}" text-anchor="middle">${text}</text>`,
    );
  }
}

/** A line of steps, each as wide as it lasts. */
function stairs(scene: Scene, values: readonly number[], y: (value: number) => number): string {
  const { stepMs, durationMs } = scene.figures;
  let path = '';
  values.forEach((value, i) => {
    const to = scene.x(Math.min(durationMs, (i + 1) * stepMs));
    path += i === 0 ? `M${CHART.left} ${fix(y(value))}` : `V${fix(y(value))}`;
    path += `H${fix(to)}`;
  });
  return path;
}

/** The next round number. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((each) => each * power).find((each) => each >= value) ?? value;
}

function fix(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Text that is safe in HTML and SVG. */
export function safeText(text: string): string {
  return text.replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);
}
