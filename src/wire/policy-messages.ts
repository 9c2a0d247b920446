/**
 * Messages about policies that are set at run time (`src/node/policy-desk.ts`), and the form in which a node
 * keeps them.
 *
 * The picture: a notice that goes round the offices. "Pin this up and tell me" when something changes; now and
 * then "my notice board has this fingerprint", and whoever sees another one shows all that hangs on theirs.
 *
 * ```
 * CHANGE     rules                               answered by STORED when durable, or REFUSED
 * STORED
 * REFUSED    text: the code of the error
 * DIGEST     u32 u32                             answered by RULES with `wanted` if ours is another
 * RULES      u8 flags (1 the last page, 2 wanted: show me yours), u32 u32 digest of the sender's, rules
 *
 * rules      u16 count, then each: text prefix, u48 time, u16 logical, text node,
 *            u8 flags (1 set, else unset; 2 strict; 4 conflicts said; 8 siblings; 16 reads said;
 *            32 reads fail; 64 expiry said), and if set: u8 R, u8 W, u48 expiry in milliseconds
 * ```
 */

import type { ByteReader, ByteString, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { FAMILY_POLICY, writeFamilyHead } from './messages.ts';

export const POLICY_CHANGE: number = FAMILY_POLICY * 10;
export const POLICY_STORED: number = FAMILY_POLICY * 10 + 1;
export const POLICY_REFUSED: number = FAMILY_POLICY * 10 + 2;
export const POLICY_DIGEST: number = FAMILY_POLICY * 10 + 3;
export const POLICY_RULES: number = FAMILY_POLICY * 10 + 4;

/** A policy as it travels: what `Policy` of `src/coordinator/policy.ts` says. */
export interface WiredPolicy {
  readonly r: number;
  readonly w: number;
  readonly strict: boolean;
  readonly conflicts?: 'last-write-wins' | 'siblings';
  readonly siblingsRead?: 'newest' | 'error';
  readonly ttlMs?: number;
}

/** A rule as it travels. Without a policy it says that there is none any more. */
export interface WiredRule {
  readonly prefix: ByteString;
  readonly policy: WiredPolicy | undefined;
  /** When it was said: a hybrid clock's reading, and who said it. */
  readonly time: number;
  readonly logical: number;
  readonly node: ByteString;
}

/** A fingerprint of all rules a node has. */
export interface PolicyDigest {
  readonly high: number;
  readonly low: number;
}

/** The prefix of a rule is at most so long, bytes. */
export const POLICY_PREFIX_MAX = 256;

/** Rules in one message. */
export const POLICY_PAGE_RULES = 64;

const flagSet = 1;
const flagStrict = 2;
const flagConflicts = 4;
const flagSiblings = 8;
const flagReads = 16;
const flagReadsFail = 32;
const flagTtl = 64;

const pageLast = 1;
const pageWanted = 2;

function flagsOf(policy: WiredPolicy | undefined): number {
  if (policy === undefined) return 0;
  const { strict, conflicts, siblingsRead, ttlMs } = policy;
  return (
    flagSet |
    (strict ? flagStrict : 0) |
    (conflicts === undefined ? 0 : flagConflicts) |
    (conflicts === 'siblings' ? flagSiblings : 0) |
    (siblingsRead === undefined ? 0 : flagReads) |
    (siblingsRead === 'error' ? flagReadsFail : 0) |
    (ttlMs === undefined ? 0 : flagTtl)
  );
}

/** Writes rules, as they travel and as they are kept. */
export function writeRules(writer: ByteWriter, rules: readonly WiredRule[]): void {
  writer.u16(rules.length);
  for (const { prefix, policy, time, logical, node } of rules) {
    writer.text(prefix);
    writer.u48(time);
    writer.u16(logical);
    writer.text(node);
    writer.u8(flagsOf(policy));
    if (policy === undefined) continue;
    writer.u8(policy.r);
    writer.u8(policy.w);
    writer.u48(policy.ttlMs ?? 0);
  }
}

/** @throws CodedError `protocol` */
export function readRules(reader: ByteReader): WiredRule[] {
  const rules: WiredRule[] = [];
  for (let left = reader.u16(); left > 0; left--) {
    const prefix = reader.text();
    if (prefix.length > POLICY_PREFIX_MAX) {
      throw new CodedError('protocol', 'none', `a policy's prefix of ${prefix.length} bytes`);
    }
    const time = reader.u48();
    const logical = reader.u16();
    const node = reader.text();
    rules.push({ prefix, policy: readPolicy(reader), time, logical, node });
  }
  return rules;
}

function readPolicy(reader: ByteReader): WiredPolicy | undefined {
  const flags = reader.u8();
  if ((flags & flagSet) === 0) return undefined;
  const r = reader.u8();
  const w = reader.u8();
  const ttlMs = reader.u48();
  if (r < 1 || w < 1) throw new CodedError('protocol', 'none', `a policy with R=${r} and W=${w}`);
  return {
    r,
    w,
    strict: (flags & flagStrict) !== 0,
    ...((flags & flagConflicts) === 0
      ? {}
      : { conflicts: (flags & flagSiblings) === 0 ? 'last-write-wins' : 'siblings' }),
    ...((flags & flagReads) === 0
      ? {}
      : { siblingsRead: (flags & flagReadsFail) === 0 ? 'newest' : 'error' }),
    ...((flags & flagTtl) === 0 ? {} : { ttlMs }),
  };
}

export function writePolicyChange(writer: ByteWriter, id: number, rule: WiredRule): void {
  writeFamilyHead(writer, POLICY_CHANGE, id);
  writeRules(writer, [rule]);
}

export function writePolicyStored(writer: ByteWriter, id: number): void {
  writeFamilyHead(writer, POLICY_STORED, id);
}

export function writePolicyRefused(writer: ByteWriter, id: number, code: string): void {
  writeFamilyHead(writer, POLICY_REFUSED, id);
  writer.text(code);
}

export function writePolicyDigest(writer: ByteWriter, digest: PolicyDigest): void {
  writeFamilyHead(writer, POLICY_DIGEST, 0);
  writeDigest(writer, digest);
}

function writeDigest(writer: ByteWriter, { high, low }: PolicyDigest): void {
  writer.u32(high);
  writer.u32(low);
}

export function readPolicyDigest(reader: ByteReader): PolicyDigest {
  return { high: reader.u32(), low: reader.u32() };
}

/** A page of all rules a node has. */
export interface RulesPage {
  readonly isLast: boolean;
  /** The sender asks for those of the receiver. */
  readonly wanted: boolean;
  readonly digest: PolicyDigest;
  readonly rules: readonly WiredRule[];
}

export function writePolicyRules(writer: ByteWriter, { isLast, wanted, digest, rules }: RulesPage): void {
  writeFamilyHead(writer, POLICY_RULES, 0);
  writer.u8((isLast ? pageLast : 0) | (wanted ? pageWanted : 0));
  writeDigest(writer, digest);
  writeRules(writer, rules);
}

/** @throws CodedError `protocol` */
export function readPolicyRules(reader: ByteReader): RulesPage {
  const flags = reader.u8();
  const digest = readPolicyDigest(reader);
  const rules = readRules(reader);
  return { isLast: (flags & pageLast) !== 0, wanted: (flags & pageWanted) !== 0, digest, rules };
}
