/**
 * Visitors: the other members as a node meets them that wants to know whether its disk is the one it had.
 *
 * The picture: the visitors' book of a hospital (`past-desk.ts`). Each is asked once what it remembers; whoever told
 * is later told how the patient is. The list of those who may come changes while he lies there: a relative who
 * was born meanwhile remembers nothing, and who moved away for good is not waited for.
 */

import type { NodeId } from '../ports/transport.ts';
import type { Past } from '../wire/past-messages.ts';
import { compareMarks } from './identity.ts';
import type { Link } from './links.ts';

/** A member that was told once is told again after so long, even if nothing changed, milliseconds. */
const markAgainMs = 10_000;
/** In a large cluster each hears it less often, but some always have. */
const marksAtATime = 3;

/** A member as the desk meets it in this life. */
export interface Visitor {
  readonly link: Link;
  /** The pipe it was met on, as `Link.generation` counts them. */
  generation: number;
  /** It told what it remembers of us. */
  told: boolean;
  /** That it was heard is durable: it may be told how far our disk has come, and remember it. */
  isNoted: boolean;
  askedAt: number;
  markedAt: number;
  marked: Past | undefined;
}

export class PastVisitors {
  readonly #visitors: Map<NodeId, Visitor> = new Map();
  /** Who went after it had told: should it come back, it remembers this life, and none that it did not tell of. */
  readonly #departed: Set<NodeId> = new Set();

  constructor(links: Iterable<Link>) {
    for (const link of links) this.#visitors.set(link.member.id, visitorOf(link));
  }

  get(id: NodeId): Visitor | undefined {
    return this.#visitors.get(id);
  }

  ids(): IterableIterator<NodeId> {
    return this.#visitors.keys();
  }

  all(): IterableIterator<Visitor> {
    return this.#visitors.values();
  }

  get size(): number {
    return this.#visitors.size;
  }

  /** Those that told, or did not. */
  where(told: boolean): Visitor[] {
    return [...this.#visitors.values()].filter((visitor) => visitor.told === told);
  }

  get isAllTold(): boolean {
    for (const { told } of this.#visitors.values()) if (!told) return false;
    return true;
  }

  /**
   * The members are those of these links from now on. One that went and came back is another one, and has told if it
   * did before.
   * @returns who came, and who went.
   */
  follow(links: Iterable<Link>): { readonly came: readonly Visitor[]; readonly went: readonly NodeId[] } {
    const before = new Map(this.#visitors);
    this.#visitors.clear();
    const came: Visitor[] = [];
    for (const link of links) {
      const { id } = link.member;
      const known = before.get(id);
      const visitor = known?.link === link ? known : visitorOf(link);
      if (visitor === known) before.delete(id);
      else came.push(visitor);
      this.#visitors.set(id, visitor);
    }
    for (const [id, { told }] of before) if (told) this.#departed.add(id);
    for (const visitor of came) visitor.told = this.#departed.has(visitor.link.member.id);
    return { came, went: [...before.keys()] };
  }

  /** Who is to be told now how far our disk has come: those who were not told for longest. */
  dueForMark(past: Past, now: number): readonly Visitor[] {
    const due = [...this.#visitors.values()].filter((visitor) => isMarkDue(visitor, past, now));
    if (due.length <= marksAtATime) return due;
    return due.sort((a, b) => a.markedAt - b.markedAt).slice(0, marksAtATime);
  }
}

function visitorOf(link: Link): Visitor {
  return {
    link,
    generation: link.generation,
    told: false,
    isNoted: false,
    askedAt: 0,
    markedAt: Number.NEGATIVE_INFINITY,
    marked: undefined,
  };
}

/** Whether a member is to be told how far our disk has come: that is news to it, or it is a while ago. */
function isMarkDue({ link, isNoted, marked, markedAt }: Visitor, past: Past, now: number): boolean {
  if (!isNoted || !link.up) return false;
  if (marked === undefined || now - markedAt >= markAgainMs) return true;
  return (
    marked.generation !== past.generation ||
    marked.reserved !== past.reserved ||
    compareMarks(marked, past) !== 0
  );
}
