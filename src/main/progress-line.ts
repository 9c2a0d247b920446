/**
 * A line that says how far something is: drawn over again and again on a terminal; a new line now and then where the
 * output goes to a file or a pipe.
 */

import type { Output } from './cluster-seeds.ts';

const barCells = 24;
/** Lines that cannot be drawn over come at most so often, milliseconds. */
const lineEveryMs = 5000;
/** Of a terminal that does not say how wide it is. */
const columnsDefault = 120;

/** `[████────]`, for a share from 0 to 1. */
export function bar(share: number): string {
  const cells = Math.floor(share * barCells);
  return `[${'█'.repeat(cells)}${'─'.repeat(barCells - cells)}]`;
}

export class ProgressLine {
  readonly #out: Output;
  /** Characters of the line that stands on the terminal now. */
  #width = 0;
  #shownAt = Number.NEGATIVE_INFINITY;

  constructor(out: Output) {
    this.#out = out;
  }

  /** @param isNews where lines cannot be drawn over it is shown now, however short the last one was ago */
  show(line: string, isNews: boolean = false): void {
    if (this.#out.isTTY === true) {
      const shown = line.slice(0, (this.#out.columns ?? columnsDefault) - 1);
      this.#out.write(`\r${shown.padEnd(this.#width)}`);
      this.#width = shown.length;
      return;
    }
    const now = performance.now();
    if (!isNews && now - this.#shownAt < lineEveryMs) return;
    this.#shownAt = now;
    this.#out.write(`${line}\n`);
  }

  /** Makes room for other words on the terminal. */
  clear(): void {
    if (this.#out.isTTY === true && this.#width > 0) this.#out.write(`\r${' '.repeat(this.#width)}\r`);
    this.#width = 0;
  }
}
