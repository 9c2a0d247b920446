/** What the autoscaler sees of three nodes that have much to do, for tests of what it says of it. */

import type { Observation } from '../../src/autoscale/load.ts';

const node = { zone: 'z', cpu: 0.9, p99Ms: undefined, diskBytes: undefined, operations: undefined };

export const busyThree: Observation = {
  epoch: 1,
  nodes: ['n1', 'n2', 'n3'].map((id) => ({ id, ...node })),
  replicas: 3,
  underWay: '',
  progress: '',
  obstacle: '',
  removable: [],
};
