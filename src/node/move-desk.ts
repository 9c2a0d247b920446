/**
 * The move desk: fetches what this node is to hold by the change under way, and gives away what it is to
 * hold no more.
 */

import { CodedError } from '../base/errors.ts';
import type { Storage } from '../ports/storage.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { MoveFigures } from './move-figures.ts';
import { NO_MOVES } from './move-figures.ts';
import type { RepairDesk } from './repair-desk.ts';

export class MoveDesk implements Desk {
  readonly family: number = 9;

  constructor(_context: NodeContext, _storage: Storage, _repair: RepairDesk) {}

  /** Whether this node has done, durably, all that the epoch in force asks of it. */
  get isSettled(): boolean {
    return true;
  }

  figures(): MoveFigures {
    return NO_MOVES;
  }

  message(): void {
    throw new CodedError('protocol', 'none', 'message of a family that has none');
  }

  topologyChanged(_before: Topology, _now: Topology): void {}
}
