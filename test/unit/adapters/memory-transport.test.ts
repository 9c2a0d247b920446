import assert from 'node:assert/strict';
import type { MemoryTransport } from '../../../src/adapters/memory-transport.ts';
import { MemoryNetwork } from '../../../src/adapters/memory-transport.ts';
import type { NodeId } from '../../../src/ports/transport.ts';
import { transportConformance } from '../../conformance/transport.ts';

transportConformance('memory', async (ids) => {
  const network = new MemoryNetwork();
  const endpoints = new Map<NodeId, MemoryTransport>();
  const address = (_from: NodeId, id: NodeId, elsewhere = false) => {
    return { id, host: 'memory', peerPort: elsewhere ? 2 : 1 };
  };
  const queueBytesMax = 1024 * 1024;
  return {
    queueBytesMax,
    address,
    async start(id, handler) {
      const endpoint = network.endpoint(id);
      endpoint.setPeers(ids.slice(0, id === 'd' ? 4 : 3).map((each) => address(id, each)));
      endpoint.queueBytesMax = queueBytesMax;
      endpoint.start(handler);
      endpoints.set(id, endpoint);
      return endpoint;
    },
    async stop(id) {
      endpoints.get(id)?.close();
      endpoints.delete(id);
    },
    cut: (from, to) => network.cut(from, to),
    heal: (from, to) => network.heal(from, to),
    // Nothing moves until `deliver`.
    stall: () => {},
    async until(condition, what) {
      network.deliver();
      assert.ok(condition(), what);
    },
    async settle() {
      network.deliver();
    },
    async close() {
      for (const endpoint of endpoints.values()) endpoint.close();
    },
  };
});
