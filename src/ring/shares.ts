/**
 * Fair shares: how much each node should hold, before anyone asks which partitions.
 *
 * The picture is water poured into vessels. A node's width is its weight, its height ends at a cap (it
 * can hold at most one replica of each partition), and the vessels stand in basins, the zones, each
 * with a least and a greatest amount. Water finds one level; a full vessel or basin passes the rest on.
 * That is max-min fairness, and with no cap in the way it is plainly "share follows weight".
 *
 * Shares are real numbers, and partitions are whole: a node holds its share rounded down or up, and
 * which of the two is left to the assignment, so that fewest data must move.
 */

/** What bounds the shares; all arrays by member index, or by zone index where the name says zone. */
export interface ShareBounds {
  readonly weights: readonly number[];
  readonly caps: readonly number[];
  readonly zoneOf: readonly number[];
  readonly zoneLow: readonly number[];
  readonly zoneHigh: readonly number[];
  /** What there is to share out: between the sums of `zoneLow` and of `zoneHigh`. */
  readonly total: number;
}

/** Twice the bits of a double's mantissa: past this, halving an interval changes nothing. */
const HALVINGS = 110;

/** Shares this near a whole number are that number: what is left is rounding error of doubles. */
const WHOLE_WITHIN = 1e-6;

/**
 * How many replicas of one partition each zone holds, at least and at most: as even as the zone sizes
 * allow. With N or more zones that is 0 to 1, so a list spans N zones; with fewer, the counts of any
 * two zones differ by at most one unless the smaller has no more nodes.
 *
 * @param zoneSizes nodes in each zone; together at least `replicaCount`.
 */
export function zoneBounds(
  zoneSizes: readonly number[],
  replicaCount: number,
): { readonly low: readonly number[]; readonly high: readonly number[] } {
  const placesAt = (level: number): number => zoneSizes.reduce((sum, size) => sum + Math.min(size, level), 0);
  let level = 0;
  while (placesAt(level) < replicaCount && placesAt(level + 1) <= replicaCount) level++;
  return {
    low: zoneSizes.map((size) => Math.min(size, level)),
    high: zoneSizes.map((size) => Math.min(size, level + 1)),
  };
}

/**
 * The max-min fair shares by weight under caps and zone bounds, by bisection of the water level.
 * Only additions, products and comparisons of doubles, in a fixed order: the same on every machine.
 */
export function fairShares(bounds: ShareBounds): number[] {
  const { weights, caps, zoneOf, zoneLow, zoneHigh, total } = bounds;
  const zones = zoneLow.map((_, zone) =>
    weights.flatMap((_, member) => (zoneOf[member] === zone ? [member] : [])),
  );
  const levelMax = weights.reduce((most, weight, member) => Math.max(most, caps[member]! / weight), 0);
  const amount = (zone: number, level: number): number => {
    let sum = 0;
    for (const member of zones[zone]!) sum += Math.min(caps[member]!, weights[member]! * level);
    return sum;
  };
  const bounded = (zone: number, level: number): number =>
    Math.max(zoneLow[zone]!, Math.min(zoneHigh[zone]!, amount(zone, level)));
  const common = levelFor(total, levelMax, (level) =>
    zones.reduce((sum, _, zone) => sum + bounded(zone, level), 0),
  );
  const members = new Array<number>(weights.length).fill(0);
  zones.forEach((inZone, zone) => {
    const share = bounded(zone, common);
    const level = levelFor(share, levelMax, (candidate) => amount(zone, candidate));
    for (const member of inZone) members[member] = whole(Math.min(caps[member]!, weights[member]! * level));
  });
  return members;
}

/** The least level, up to `levelMax`, at which a rising function reaches an amount. */
function levelFor(amount: number, levelMax: number, amountAt: (level: number) => number): number {
  let low = 0;
  let high = levelMax;
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (low + high) / 2;
    if (amountAt(middle) >= amount) high = middle;
    else low = middle;
  }
  return high;
}

function whole(value: number): number {
  const nearest = Math.round(value);
  return Math.abs(value - nearest) < WHOLE_WITHIN ? nearest : value;
}
