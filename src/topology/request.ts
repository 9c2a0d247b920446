/** What may be asked of the topology. `changes.ts` says what becomes of it. */

import type { NodeId } from '../ports/transport.ts';
import type { TopologyMember } from './topology.ts';

export type TopologyRequest =
  /** A node comes. One that is a member already, or comes already, is no error. */
  | { readonly kind: 'join'; readonly member: TopologyMember }
  /** A member gives away what it holds, and goes. */
  | { readonly kind: 'leave'; readonly id: NodeId }
  /**
   * Members that will not come back: what they held is rebuilt from the others. Their processes must be ended.
   * The one request that is taken while another change is under way: it would wait for them for ever.
   */
  | { readonly kind: 'remove'; readonly ids: readonly NodeId[] }
  /** A new node takes the place of a member that will not come back. */
  | { readonly kind: 'replace'; readonly id: NodeId; readonly member: TopologyMember }
  | { readonly kind: 'weight'; readonly id: NodeId; readonly weight: number }
  /** Gives up the change under way, while its data are still being copied. */
  | { readonly kind: 'cancel' }
  /**
   * Goes on without members that are lost for good although most are: the operator vouches that they are, and
   * accepts that what only they held is gone. Asked of one node only.
   */
  | { readonly kind: 'force'; readonly gone: readonly NodeId[] };
