/** Exit codes of `dure`, for whoever supervises it. */

export const EXIT = {
  /** It could not start or go on: a port, a directory, a peer process. The message says what. */
  failed: 1,
  /** The configuration has problems; nothing was started. */
  config: 2,
  /** `dure status --check`: the cluster is degraded or critical. */
  notWell: 2,
  /** Storage lost data it had promised to keep, and no other replica can give it back; the operator must decide. */
  storageLost: 3,
  /** Storage failed while the node ran (an IO error, an fsync): start it again, it checks what it still has. */
  storageFailed: 4,
  /** The node is no member of its cluster any more: it left, or was removed. Starting it again changes nothing. */
  notMember: 5,
  /** A bug in Dure. */
  bug: 70,
} as const;
