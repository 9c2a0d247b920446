/** What a node tells of the rows it fetches and gives away while owners change; see `move-desk.ts`. */

/** How far this node has come with the change under way. Zeros when there is none. */
export interface MoveFigures {
  /** The epoch these figures are about. */
  readonly epoch: number;
  /** Partitions to be fetched here, and those that are whole. */
  readonly partitions: number;
  readonly partitionsDone: number;
  readonly rows: number;
  readonly bytes: number;
  /** What is to come, bytes, by the size of what came; 0 while it is not known. */
  readonly bytesLeft: number;
  readonly bytesPerSecond: number;
  /** Members that are waited for: they cannot be reached. */
  readonly waitsFor: readonly string[];
  /** Partitions held here that belong to others, and are cleaned up once those proved equal. */
  readonly strays: number;
  /** Since start: rows and bytes fetched, partitions cleaned up. */
  readonly rowsTotal: number;
  readonly bytesTotal: number;
  readonly partitionsCleaned: number;
}

export const NO_MOVES: MoveFigures = {
  epoch: 0,
  partitions: 0,
  partitionsDone: 0,
  rows: 0,
  bytes: 0,
  bytesLeft: 0,
  bytesPerSecond: 0,
  waitsFor: [],
  strays: 0,
  rowsTotal: 0,
  bytesTotal: 0,
  partitionsCleaned: 0,
};
