/** The transport port of a node that is alone: there is nobody to send to, so no port is opened. */

import type { Transport } from '../ports/transport.ts';

export const LONE_TRANSPORT: Transport = {
  send: () => false,
  isDrained: () => true,
  reset: () => {},
  setPeers: () => {},
};
