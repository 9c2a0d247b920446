/**
 * The purses of anti-entropy: what comparisons and moves may spend of this node's time, and moves of the network.
 *
 * The picture: three purses on one belt. *Patient* is for work that nobody waits for; *urgent*, filled six times as
 * fast, for work that somebody waits for; *moves* holds bytes, for rows that come here while owners change. Who
 * finds his purse empty stands in line until time has filled it. All are filled the more slowly the more crowded
 * the machine is (`governor.ts`), so that clients are served first.
 */

import { TokenBucket } from '../hints/handoff.ts';
import { Governor } from '../repair/governor.ts';
import { Pace } from '../repair/pace.ts';
import type { NodeLimits } from './options.ts';

/** What a byte costs on its way: at a share of 1, 100 MB/s. Milliseconds. */
const byteCostMs = 0.00001;
/** The most that may be spent in one go, milliseconds. */
const patientPurseMs = 2;
const urgentPurseMs = 8;
/** Urgent work may take so many times the share, within bounds. */
const urgentFactor = 6;
const urgentShareMin = 0.1;
const urgentShareMax = 0.5;
/** The least of both on a crowded machine: urgent work, and which part of its share patient work. */
const urgentShareCrowded = 0.05;
const patientPartCrowded = 1 / 4;
/** More requests in flight than this, and patient work takes a quarter of its share, urgent work its least. */
const requestsMany = 256;
/** Bytes that a fetch is taken to bring until it has brought them: else all would be sent out at once. */
const fetchBytes = 32 * 1024;
/** Bytes to be moved are saved up for so long, milliseconds: what comes at once holds up clients. */
const movesSavedMs = 20;

interface Waiter {
  readonly urgent: boolean;
  readonly moves: boolean;
  readonly run: () => void;
}

export class RepairPurses {
  readonly #repairShareMax: number;
  readonly #patient: Pace = new Pace(patientPurseMs);
  readonly #urgent: Pace = new Pace(urgentPurseMs);
  readonly #moves: TokenBucket;
  /** How crowded the machine is: for time, and for bytes, which begin slowly. */
  readonly #timeGovernor: Governor = new Governor(1);
  readonly #moveGovernor: Governor = new Governor(1 / 8);
  #waiters: Waiter[] = [];

  constructor({ repairShareMax, moveBytesPerSecond }: NodeLimits) {
    this.#repairShareMax = repairShareMax;
    this.#moves = new TokenBucket(moveBytesPerSecond, movesSavedMs);
  }

  /** The purse of time that work is paid from. */
  of(urgent: boolean): Pace {
    return urgent ? this.#urgent : this.#patient;
  }

  /** Milliseconds spent on comparisons since start. */
  get spentMs(): number {
    return this.#patient.spentMs + this.#urgent.spentMs;
  }

  get hasWaiters(): boolean {
    return this.#waiters.length > 0;
  }

  /**
   * Time passed.
   * @param requests of clients in flight
   * @param lateMs how late this tick comes, milliseconds
   * @param isWorking whether something is to be read or fetched
   */
  pass(now: number, requests: number, lateMs: number, isWorking: boolean): void {
    const share = this.#repairShareMax;
    const isBusy = requests > requestsMany;
    this.#timeGovernor.pass(now, lateMs, isWorking);
    this.#moveGovernor.pass(now, lateMs, isWorking);
    const governed = this.#timeGovernor.share;
    this.#patient.pass(now, share * (isBusy ? patientPartCrowded : Math.max(patientPartCrowded, governed)));
    const urgentShare = Math.min(urgentShareMax, Math.max(urgentShareMin, share * urgentFactor));
    const urgentMost = isBusy ? urgentShareMin : urgentShare;
    this.#urgent.pass(now, Math.max(urgentShareCrowded, urgentMost * governed));
    this.#moves.fill(now, this.#moveGovernor.share);
  }

  whenAllowed(urgent: boolean, bytes: number, run: () => void): void {
    this.of(urgent).spend(bytes * byteCostMs);
    this.#stand({ urgent, moves: false, run });
  }

  whenMoveAllowed(run: () => void): void {
    this.#stand({ urgent: true, moves: true, run });
  }

  /** So many bytes were brought by a fetch. */
  moved(bytes: number): void {
    this.#moves.spend(bytes - fetchBytes);
    this.#urgent.spend(bytes * byteCostMs);
  }

  #stand(waiter: Waiter): void {
    const { urgent, moves } = waiter;
    const isQueue = this.#waiters.some((other) => other.urgent === urgent && other.moves === moves);
    if (!isQueue && this.#mayRun(waiter)) this.#run(waiter);
    else this.#waiters.push(waiter);
  }

  /** Lets those go on who can pay now, one after the other: what one spends the next has not. */
  release(): void {
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters;
    this.#waiters = [];
    const left = waiting.filter((waiter) => {
      if (!this.#mayRun(waiter)) return true;
      this.#run(waiter);
      return false;
    });
    this.#waiters = left.concat(this.#waiters);
  }

  #mayRun({ urgent, moves }: Waiter): boolean {
    return this.of(urgent).allows && (!moves || this.#moves.isOpen);
  }

  #run({ moves, run }: Waiter): void {
    if (moves) this.#moves.spend(fetchBytes);
    run();
  }
}
