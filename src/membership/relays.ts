/**
 * Relays: who asked us whether we reach somebody, and is to be told when that one answers.
 *
 * The picture: "if you see him, tell him and me". Such a promise is kept for two seconds.
 */

/** Somebody asked us whether we reach somebody. */
interface Relay {
  readonly asker: number;
  readonly target: number;
  readonly at: number;
}

const relayMs = 2000;
/** Requests that are remembered; beyond it the oldest are forgotten. */
const relaysMax = 256;

export class Relays {
  #relays: Relay[] = [];

  /** Whether anybody waits for anything. */
  get waits(): boolean {
    return this.#relays.length > 0;
  }

  asked(asker: number, target: number, now: number): void {
    const relays = this.#relays;
    while (relays.length > 0 && now - relays[0]!.at > relayMs) relays.shift();
    if (relays.some((relay) => relay.asker === asker && relay.target === target)) return;
    if (relays.length >= relaysMax) relays.shift();
    relays.push({ asker, target, at: now });
  }

  /** `target` was heard. @returns who waited for that, and waits no more. */
  answered(target: number, now: number): readonly number[] {
    const askers: number[] = [];
    this.#relays = this.#relays.filter((relay) => {
      if (relay.target !== target) return true;
      if (now - relay.at <= relayMs) askers.push(relay.asker);
      return false;
    });
    return askers;
  }

  /** Members have other numbers from now on: whoever asked asks again. */
  clear(): void {
    this.#relays = [];
  }
}
