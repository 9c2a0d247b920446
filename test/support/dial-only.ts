/** Connections of a client that reach some nodes and no others, as on one side of a cut network. */

import { type Dial, dialTcp } from '../../client/socket.ts';

/** Dials the ports in `ports`; all others refuse. */
export function dialOnly(ports: readonly number[]): Dial {
  return (host, port, events) => {
    if (ports.includes(port)) return dialTcp(host, port, events);
    setImmediate(() => events.closed('not on this side'));
    return { write: () => true, destroy: () => {} };
  };
}
