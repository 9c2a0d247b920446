/** Every oracle, in the order their findings are reported: the most telling first. */

import { judgeAcknowledged } from './acknowledged.ts';
import { judgeBounds } from './bounds.ts';
import { judgeConvergence } from './convergence.ts';
import { judgeDeleted } from './deleted.ts';
import { judgeFlush } from './flush.ts';
import { judgeLinearizable } from './linearizable.ts';
import { judgeListing } from './listing.ts';
import type { Oracle } from './oracle.ts';
import { judgeOrder } from './order.ts';
import { judgeOutcomes } from './outcomes.ts';
import { judgeRestart } from './restart.ts';
import { judgeSiblings } from './siblings.ts';
import { judgeTopology } from './topology.ts';

export const ORACLES: readonly Oracle[] = [
  judgeLinearizable,
  judgeSiblings,
  judgeAcknowledged,
  judgeOutcomes,
  judgeDeleted,
  judgeFlush,
  judgeOrder,
  judgeConvergence,
  judgeRestart,
  judgeListing,
  judgeTopology,
  judgeBounds,
];
