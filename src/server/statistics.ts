/**
 * What the RESP door counts. Plain numbers, raised in place; read by INFO and by the metrics page.
 *
 * Latency is measured from the arrival of the bytes that held a command to the moment its reply is handed
 * to the operating system, queueing included. The clock is read once a chunk and once a turn, not twice a
 * command: replies note when their command arrived, and one reading when the turn's output is written
 * serves them all.
 */

import { Histogram } from '../base/histogram.ts';

const notesMax = 1024;

export class ServerStatistics {
  connectionsReceived = 0;
  connectionsRejected = 0;
  /** Connections this side closed because of a limit, a timeout or a broken protocol. */
  connectionsCut = 0;
  protocolErrors = 0;
  commands = 0;
  /** Commands refused because buffers of all clients together were too large. */
  commandsRefused = 0;
  inputBytes = 0;
  outputBytes = 0;
  /** Microseconds. */
  readonly latency: Histogram = new Histogram();

  readonly #arrivals: Float64Array = new Float64Array(notesMax);
  readonly #counts: Float64Array = new Float64Array(notesMax);
  #notes = 0;

  /** Notes `count` replies to commands that arrived at `arrivedAt` (milliseconds, monotonic). */
  noteReplies(arrivedAt: number, count: number): void {
    const last = this.#notes - 1;
    if (last >= 0 && this.#arrivals[last] === arrivedAt) {
      this.#counts[last]! += count;
      return;
    }
    if (this.#notes === notesMax) this.settle(performance.now());
    this.#arrivals[this.#notes] = arrivedAt;
    this.#counts[this.#notes++] = count;
  }

  /** The replies noted so far are written at `now` (milliseconds, monotonic). */
  settle(now: number): void {
    for (let i = 0; i < this.#notes; i++) {
      this.latency.record((now - this.#arrivals[i]!) * 1000, this.#counts[i]!);
    }
    this.#notes = 0;
  }

  /** Sets every count to zero, as CONFIG RESETSTAT. */
  reset(): void {
    this.connectionsReceived = 0;
    this.connectionsRejected = 0;
    this.connectionsCut = 0;
    this.protocolErrors = 0;
    this.commands = 0;
    this.commandsRefused = 0;
    this.inputBytes = 0;
    this.outputBytes = 0;
    this.latency.reset();
  }
}
