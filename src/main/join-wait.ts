/**
 * Tells whoever started a newcomer that its join waits for a member that is down: nothing else of its log would.
 *
 * The picture: somebody with his boxes on the stairs, who calls up now and then whose door is still locked. Those who
 * live there know it, since `member-down` told them when it happened; he came later.
 */

import type { MemberView, NodeApi } from '../node/api.ts';
import type { Log } from '../ports/log.ts';
import { memberState } from '../topology/member-state.ts';
import type { Topology } from '../topology/topology.ts';

/** News takes a moment to get round: who is waited for for less long is not spoken of, milliseconds. */
const patienceMs = 5000;
/** It is said again after so long, milliseconds. */
const againMs = 60_000;

export class JoinWait {
  readonly #id: string;
  readonly #log: Log;
  /** Since when somebody is waited for; undefined while nobody is. */
  #since: number | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(id: string, log: Log) {
    this.#id = id;
    this.#log = log;
  }

  /** Call several times a second. @param now monotonic milliseconds */
  look(node: Pick<NodeApi, 'topology' | 'members'>, now: number): void {
    const { topology } = node;
    // Most of its life a node is no newcomer.
    const isNewcomer = topology.phase !== 'steady' && memberState(topology, this.#id) === 'joining';
    const waitsFor = isNewcomer ? awaitedOf(topology, node.members()) : [];
    if (waitsFor.length === 0) {
      this.#since = undefined;
      return;
    }
    this.#since ??= now;
    if (now - this.#since < patienceMs || now - this.#toldAt < againMs) return;
    this.#toldAt = now;
    this.#log.write('warn', 'join-waits', {
      waitsFor: waitsFor.join(','),
      phase: topology.phase,
      sinceMs: Math.round(now - this.#since),
      action: actionOf(waitsFor, topology),
    });
  }
}

/** Members that are not reached, and did not say that they did what the epoch in force asks of them. */
function awaitedOf({ epoch }: Topology, members: readonly MemberView[]): string[] {
  return members.filter(({ live, settledEpoch }) => !live && settledEpoch < epoch).map(({ id }) => id);
}

function actionOf(waitsFor: readonly string[], { phase }: Topology): string {
  const names = waitsFor.join(', ');
  const them = waitsFor.length === 1 ? 'it' : 'they';
  const cancel = phase === 'switch' ? '' : ', or give the join up with "dure node cancel"';
  return `start ${names} again; if ${them} will not come back, "dure node remove ${waitsFor.join(' ')}"${cancel}`;
}
