/**
 * Entity tags: the causal context of a read as HTTP carries it, and the conditions of requests made with it.
 *
 * A tag is the context in base64url, in quotes; where the key has several live siblings, `.` and how many, since
 * one of them may expire without the context noticing. Writes look at the context alone.
 *
 * | Header             | Means                                                                     |
 * |--------------------|---------------------------------------------------------------------------|
 * | `If-Match: "tag"`  | write only over the value that read saw, if it is still there             |
 * | `If-Match: ctx`    | the same with a bare `Dure-Context`, which may also have seen no value    |
 * | `If-Match: *`      | only if the key is there                                                  |
 * | `If-None-Match: *` | only if it is not there                                                   |
 */

import type { Versions } from '../../node/api.ts';
import { CONTEXT_BYTES_MAX } from '../../rows/context.ts';
import { Problem } from './problem.ts';

/** What a write expects of the key. */
export type Condition =
  | { readonly kind: 'any' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'present' }
  /** `alive`: a value was seen, and if it has expired since, the key is not as it was. */
  | { readonly kind: 'seen'; readonly context: Uint8Array; readonly alive: boolean };

export const ANY: Condition = { kind: 'any' };

/** The context in base64url. */
export function contextText(context: Uint8Array): string {
  return Buffer.from(context.buffer, context.byteOffset, context.byteLength).toString('base64url');
}

/** @throws Problem `invalid` for what cannot be a context */
export function contextOfText(text: string): Uint8Array {
  const bytes = /^[\w-]+$/.test(text) ? Buffer.from(text, 'base64url') : undefined;
  const good = bytes !== undefined && bytes.length <= CONTEXT_BYTES_MAX && contextText(bytes) === text;
  if (good) return new Uint8Array(bytes);
  throw new Problem('invalid', 'the causal context is not one that this cluster gave; nothing was written');
}

/** The tag of what a read saw. */
export function etagOf({ versions, context }: Versions): string {
  const count = versions.length > 1 ? `.${versions.length}` : '';
  return `"${contextText(context)}${count}"`;
}

/** What a tag expects, whatever its count; a bare context is taken too. */
function seenOfTag(tag: string): Condition {
  const match = /^(?:"([\w-]+)(?:\.\d+)?"|([\w-]+))$/.exec(tag.trim());
  if (match === null) {
    const words =
      'expected If-Match: "…" with the one ETag that a read gave (not a list, not a weak one), or *';
    throw new Problem('invalid', `${words}; nothing was written`);
  }
  return { kind: 'seen', context: contextOfText(match[1] ?? match[2]!), alive: match[1] !== undefined };
}

/** The headers of a request that make it conditional. */
export interface ConditionHeaders {
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
}

/** What a write is conditional on. @throws Problem `invalid` for what it cannot be */
export function conditionOf({ ifMatch, ifNoneMatch }: ConditionHeaders): Condition {
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw new Problem('invalid', 'If-Match and If-None-Match exclude each other; nothing was written');
  }
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return { kind: 'absent' };
    throw new Problem('invalid', 'of a write, If-None-Match can only be *; nothing was written');
  }
  if (ifMatch === undefined) return ANY;
  if (ifMatch.trim() === '*') return { kind: 'present' };
  return seenOfTag(ifMatch);
}

/** Whether a reader that wants only what `ifMatch` lists is to be given `etag`. */
export function isWanted(etag: string, ifMatch: string | undefined): boolean {
  if (ifMatch === undefined || ifMatch.trim() === '*') return true;
  return ifMatch.split(',').some((tag) => tag.trim() === etag);
}

/** Whether a reader that has what `ifNoneMatch` lists need not be sent `etag` again. */
export function isKnown(etag: string, ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
