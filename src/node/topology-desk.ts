/**
 * The topology desk: learns, proposes and keeps the epochs of the topology.
 */

import { CodedError } from '../base/errors.ts';
import type { Random } from '../ports/random.ts';
import type { Storage } from '../ports/storage.ts';
import { Topology } from '../topology/topology.ts';
import type { TopologyDone, TopologyRequest } from './api.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { NodeOptions } from './options.ts';

/** What the desk needs of its node. */
export interface TopologyNeighbours {
  /** Puts an epoch in force here. */
  adopt(topology: Topology): void;
  /** Whether this node has done, durably, all that the epoch in force asks of it. */
  isSettled(): boolean;
}

/** The latest epoch that storage or the options know. @throws CodedError when storage cannot say. */
export function knownTopology(options: NodeOptions, _storage: Storage): Topology {
  return options.topology ?? Topology.founding(options.members, options.table);
}

export class TopologyDesk implements Desk {
  readonly family: number = 8;
  readonly #context: NodeContext;

  constructor(context: NodeContext, _random: Random, _neighbours: TopologyNeighbours) {
    this.#context = context;
  }

  /** The epoch this node knows durably. */
  get epoch(): number {
    return this.#context.topology.epoch;
  }

  /** The greatest epoch of which nothing is left to do here, durably. */
  get settledEpoch(): number {
    return this.#context.topology.epoch;
  }

  request(_request: TopologyRequest, done: TopologyDone): void {
    done(new CodedError('unsupported', 'none', 'the topology cannot be changed yet'), undefined);
  }

  message(): void {
    throw new CodedError('protocol', 'none', 'message of a family that has none');
  }
}
