/**
 * The policy desk: takes changes of policies at run time, keeps them, and brings them to all nodes.
 *
 * The picture: house rules on a notice board in every office. Who changes one pins it up at home first, sends a
 * copy to every office that answers the telephone, and hears from each "it hangs". An office that was closed is
 * not waited for: every few seconds each calls another one, the next on its list, and they compare the
 * fingerprints of their boards; if these differ, both show all that hangs there and copy the later lines
 * (`src/coordinator/policy-document.ts` says why all boards end up the same; why nobody votes on them is
 * docs/decisions/0016-policies-without-agreement.md).
 *
 * While nothing was ever set at run time nobody calls anybody.
 */

import type { ByteReader, ByteString } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { CodedError } from '../base/errors.ts';
import { Hlc } from '../causality/hlc.ts';
import type { Policy } from '../coordinator/policy.ts';
import { checkPolicy } from '../coordinator/policy.ts';
import type { StampedRule } from '../coordinator/policy-document.ts';
import { compareRules, POLICY_RULES_MAX, PolicyDocument } from '../coordinator/policy-document.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { META_PREFIX } from '../rows/key.ts';
import { FAMILY_POLICY } from '../wire/messages.ts';
import type { WiredRule } from '../wire/policy-messages.ts';
import {
  POLICY_CHANGE,
  POLICY_DIGEST,
  POLICY_PAGE_RULES,
  POLICY_PREFIX_MAX,
  POLICY_REFUSED,
  POLICY_RULES,
  POLICY_STORED,
  readPolicyDigest,
  readPolicyRules,
  readRules,
  writePolicyChange,
  writePolicyDigest,
  writePolicyRefused,
  writePolicyRules,
  writePolicyStored,
} from '../wire/policy-messages.ts';
import type { PolicyDone } from './api.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { Link } from './links.ts';
import type { Policies } from './policies.ts';

export const policiesKey: ByteString = `${META_PREFIX}policies`;

/** Fingerprints are compared with one member this often, milliseconds. */
const compareIntervalMs = 3000;
/** Live members are waited for so long, milliseconds: each makes one small commit. */
const acknowledgeMs = 2000;
/** Changes of this node on their way to the others at a time. */
const changesMax = 64;
/** A warning about a member's clock comes at most so often, milliseconds. */
const warnIntervalMs = 60_000;

/** A change that was stored here and is on its way to the others. */
interface Underway {
  readonly waiting: Set<NodeId>;
  readonly acknowledged: NodeId[];
  readonly missed: NodeId[];
  readonly deadline: number;
  readonly done: PolicyDone;
}

export class PolicyDesk implements Desk {
  readonly family: number = FAMILY_POLICY;
  readonly #context: NodeContext;
  readonly #policies: Policies;
  readonly #storage: Storage;
  readonly #hlc = new Hlc();
  /** In force here, and durable. */
  #document: PolicyDocument = PolicyDocument.EMPTY;
  /** The newest that was handed to storage: has at least all that `#document` has. */
  #laid: PolicyDocument = PolicyDocument.EMPTY;
  /** Changes that wait for storage here. */
  #storing = 0;
  readonly #underway: Map<number, Underway> = new Map();
  #id = 0;
  #compareAt = 0;
  #compareNext = 0;
  #warnAt = 0;
  /** What was kept is read back: others are listened to. */
  #isStarted = false;
  /** Set while changes are taken. */
  open = false;

  constructor(context: NodeContext, policies: Policies, storage: Storage) {
    this.#context = context;
    this.#policies = policies;
    this.#storage = storage;
  }

  /**
   * Reads what was kept.
   * @throws CodedError when storage cannot be read.
   */
  start(): void {
    const note = this.#storage.get(policiesKey);
    this.#isStarted = true;
    if (note === undefined) return;
    const document = PolicyDocument.ofNote(note);
    if (document === undefined) {
      this.#context.log.write('alarm', 'policies-damaged', {
        meaning:
          'the policies set at run time could not be read back: those of the configuration apply until another node ' +
          'tells them; look at "dure policy list"',
      });
      return;
    }
    this.#laid = document;
    this.#observe(document.rules());
    this.#apply(document);
  }

  /** Changes made here from now on are later than these. */
  #observe(rules: readonly StampedRule[]): void {
    for (const { time, logical } of rules) this.#hlc.observe(time, logical);
  }

  /** Takes no more changes, and answers those under way with what is known of them. */
  stop(): void {
    this.open = false;
    this.#isStarted = false;
    for (const [id, underway] of this.#underway) {
      underway.missed.push(...underway.waiting);
      this.#finish(id, underway);
    }
  }

  /** No change waits for anybody. */
  get isQuiet(): boolean {
    return this.#underway.size === 0;
  }

  #apply(document: PolicyDocument): void {
    this.#document = document;
    this.#policies.use(document);
  }

  // Changes that this node takes.

  /** See `NodeApi.setPolicy`. */
  change(prefix: ByteString, policy: Policy | undefined, done: PolicyDone): void {
    const refusal = this.#refusal(prefix, policy);
    if (refusal !== undefined) {
      done(refusal, undefined);
      return;
    }
    const context = this.#context;
    const rule: StampedRule = {
      prefix,
      policy,
      ...this.#hlc.next(Math.floor(context.wall())),
      node: context.self,
    };
    this.#storing++;
    this.#store([rule], (error) => {
      this.#storing--;
      if (error !== undefined) {
        done(
          new CodedError(error.code, error.outcome === 'none' ? 'fail' : error.outcome, error.message),
          undefined,
        );
        return;
      }
      context.log.write('info', 'policy-changed', { prefix, by: context.self, set: policy !== undefined });
      this.#tellAll(rule, done);
    });
  }

  #refusal(prefix: ByteString, policy: Policy | undefined): CodedError | undefined {
    const refuse = (code: CodedError['code'], message: string): CodedError =>
      new CodedError(code, 'fail', `${message}; nothing was changed`);
    if (!this.open) return refuse('unavailable', 'this node is starting or stopping');
    if (this.#context.links.clockDoubted) {
      return refuse('clock-offset', 'the clock of this node differs from most others: use another node');
    }
    const aheadMs = this.#hlc.time - this.#context.wall();
    if (aheadMs > this.#context.limits.clockOffsetMaxMs) {
      // A line from the future, told by a clock that has gone back since: another would be believed by nobody.
      const message = `a policy known here is stamped ${Math.ceil(aheadMs)} ms ahead of this node's clock, and others would not take a later one: use another node`;
      return refuse('clock-offset', message);
    }
    if (this.#underway.size + this.#storing >= changesMax) {
      return refuse('overloaded', `${changesMax} changes of policies are under way at this node`);
    }
    if (prefix.length > POLICY_PREFIX_MAX) {
      const { length } = prefix;
      return refuse('invalid', `the prefix is ${length} bytes and the limit is ${POLICY_PREFIX_MAX}`);
    }
    const known = this.#laid.get(prefix);
    if (policy === undefined) {
      if (known?.policy !== undefined) return undefined;
      const why =
        'only such a one can be unset, and DURE.POLICY LIST or dure policy list shows which there are';
      return refuse('invalid', `no policy of this prefix was set at run time: ${why}`);
    }
    try {
      checkPolicy(policy, this.#context.topology.read.replicaCount);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return refuse('invalid', error.message);
    }
    if (known !== undefined || this.#laid.size < POLICY_RULES_MAX) return undefined;
    return refuse(
      'invalid',
      `policies of ${POLICY_RULES_MAX} prefixes were set at run time, unset ones included, which is the limit`,
    );
  }

  /** Makes rules durable here, and puts them in force; `stored` is told. */
  #store(rules: readonly StampedRule[], stored: (error: CodedError | undefined) => void): void {
    this.#observe(rules);
    const laid = this.#laid.with(rules);
    if (laid === this.#document) {
      stored(undefined);
      return;
    }
    this.#laid = laid;
    this.#context.replica.note(policiesKey, laid.note(), {
      stored: (error) => {
        if (error === undefined) {
          const document = this.#document.with(laid.rules());
          if (document !== this.#document) this.#apply(document);
        } else if (this.#laid === laid) {
          this.#laid = this.#document;
        } else {
          // What was laid on top of it has it too, and may yet be stored.
          stored(new CodedError(error.code, 'unknown', error.message));
          return;
        }
        stored(error);
      },
    });
  }

  #tellAll(rule: StampedRule, done: PolicyDone): void {
    const { self, links, now } = this.#context;
    this.#id = (this.#id + 1) >>> 0;
    const deadline = now() + acknowledgeMs;
    const underway: Underway = { waiting: new Set(), acknowledged: [self], missed: [], deadline, done };
    for (const link of links.all()) {
      const { id } = link.member;
      const writer = link.live && this.open ? links.writer(link) : undefined;
      if (writer === undefined) {
        underway.missed.push(id);
        continue;
      }
      writePolicyChange(writer, this.#id, rule);
      underway.waiting.add(id);
    }
    this.#underway.set(this.#id, underway);
    this.#settle(this.#id, underway);
  }

  #settle(id: number, underway: Underway): void {
    if (underway.waiting.size === 0) this.#finish(id, underway);
  }

  #finish(id: number, { acknowledged, missed, done }: Underway): void {
    this.#underway.delete(id);
    done(undefined, { acknowledged: acknowledged.sort(), missed: missed.sort() });
  }

  /** A member answers a change, or will not any more. */
  #answered(id: number, member: NodeId, isStored: boolean): void {
    const underway = this.#underway.get(id);
    if (underway?.waiting.delete(member) !== true) return;
    (isStored ? underway.acknowledged : underway.missed).push(member);
    this.#settle(id, underway);
  }

  // What others tell.

  message(link: Link, type: number, id: number, reader: ByteReader): void {
    if (type === POLICY_CHANGE) this.#changeFrom(link, id, readRules(reader));
    else if (type === POLICY_STORED) this.#answered(id, link.member.id, true);
    else if (type === POLICY_REFUSED) {
      const code = reader.text();
      this.#context.log.write('warn', 'policy-refused', { peer: link.member.id, code });
      this.#answered(id, link.member.id, false);
    } else if (type === POLICY_DIGEST) {
      const digest = readPolicyDigest(reader);
      if (this.#isStarted && !this.#document.hasDigest(digest)) this.#show(link, true);
    } else if (type === POLICY_RULES) this.#rulesFrom(link, reader);
    else throw new CodedError('protocol', 'none', `policy message of unknown type ${type}`);
  }

  #changeFrom(link: Link, id: number, rules: readonly WiredRule[]): void {
    const believed = this.#believed(link, rules);
    const { generation } = link;
    const answer = (code: string | undefined): void => {
      const writer = link.generation === generation ? this.#context.links.writer(link) : undefined;
      if (writer === undefined) return;
      if (code === undefined) writePolicyStored(writer, id);
      else writePolicyRefused(writer, id, code);
    };
    if (!this.#isStarted) answer('unavailable');
    else if (believed.length < rules.length) answer('clock-offset');
    else {
      this.#store(believed, (error) => {
        const code = error?.code ?? this.#notInForce(believed);
        // Who changed it finds out now, and not at the next comparison, that a later line stands.
        if (code === 'straggler' && link.generation === generation) this.#show(link, false);
        answer(code);
      });
    }
  }

  /** Why a line that came is not what this node goes by: a later one of its prefix is here, or there are too many. */
  #notInForce(rules: readonly StampedRule[]): ErrorCode | undefined {
    for (const rule of rules) {
      const known = this.#laid.get(rule.prefix);
      if (known === undefined) return 'overloaded';
      if (compareRules(known, rule) > 0) return 'straggler';
    }
    return undefined;
  }

  #rulesFrom(link: Link, reader: ByteReader): void {
    const { isLast, wanted, digest, rules } = readPolicyRules(reader);
    if (!this.#isStarted) return;
    const believed = this.#believed(link, rules);
    // What waits for a disk that hangs is not laid on top of itself every few seconds.
    if (this.#laid.with(believed) !== this.#laid) this.#store(believed, () => {});
    if (isLast && wanted && !this.#laid.hasDigest(digest)) this.#show(link, false);
  }

  /** Those whose time lies not further ahead of our clock than we believe anyone: one bad clock must not win for years. */
  #believed(link: Link, rules: readonly WiredRule[]): readonly WiredRule[] {
    const { limits, log, now, wall } = this.#context;
    const timeMax = wall() + limits.clockOffsetMaxMs;
    const believed = rules.filter(({ time }) => time <= timeMax);
    if (believed.length < rules.length && now() >= this.#warnAt) {
      this.#warnAt = now() + warnIntervalMs;
      log.write('warn', 'policy-from-the-future', { peer: link.member.id });
    }
    return believed;
  }

  /** Sends all rules that hang here. @param wanted asks for theirs */
  #show(link: Link, wanted: boolean): void {
    const { digest } = this.#laid;
    const rules = this.#laid.rules();
    for (let at = 0; at === 0 || at < rules.length; at += POLICY_PAGE_RULES) {
      const writer = this.#context.links.writer(link);
      if (writer === undefined) return;
      const isLast = at + POLICY_PAGE_RULES >= rules.length;
      writePolicyRules(writer, { isLast, wanted, digest, rules: rules.slice(at, at + POLICY_PAGE_RULES) });
    }
  }

  #compareWith(link: Link): void {
    const writer = this.#context.links.writer(link);
    if (writer !== undefined) writePolicyDigest(writer, this.#document.digest);
  }

  tick(now: number): void {
    for (const [id, underway] of this.#underway) {
      if (now < underway.deadline) continue;
      underway.missed.push(...underway.waiting);
      this.#finish(id, underway);
    }
    if (now < this.#compareAt) return;
    this.#compareAt = now + compareIntervalMs;
    if (!this.open || this.#document.size === 0) return;
    const live = [...this.#context.links.all()].filter((link) => link.live);
    const link = live[this.#compareNext++ % live.length];
    if (link !== undefined) this.#compareWith(link);
  }

  livenessChanged(link: Link): void {
    if (!link.live) {
      for (const id of [...this.#underway.keys()]) this.#answered(id, link.member.id, false);
    } else if (this.open && this.#document.size > 0) {
      this.#compareWith(link);
    }
  }
}
