/**
 * Answers that hold values, as JSON text. A stored value that is JSON is put in letter by letter: taking it apart
 * and writing it again would round its long numbers.
 */

import type { ByteString } from '../../base/bytes.ts';
import type { Version, Versions } from '../../node/api.ts';
import { contextText } from './etag.ts';
import { base64Of, keyJson, textOf } from './key.ts';
import { jsonOf, type Kind } from './media.ts';
import { Problem } from './problem.ts';

/** Members of an object: names and JSON texts. */
export type Fields = readonly (readonly [name: string, json: string])[];

export function objectText(fields: Fields): string {
  return `{${fields.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`;
}

/** A wall time as people and programs read it. */
export function momentOf(ms: number): string {
  return new Date(ms).toISOString();
}

export function keyFields(key: ByteString): Fields {
  return Object.entries(keyJson(key)).map(([name, value]) => [name, JSON.stringify(value)]);
}

/**
 * A value inside of JSON.
 * @param as what was asked for; left out, JSON if it is that, else base64
 * @throws Problem `not-acceptable`
 */
export function valueFields({ value, time, expireAt }: Version, as: Kind | undefined): Fields {
  return [
    valueField(value, as),
    ['writtenAt', JSON.stringify(momentOf(time))],
    ...(expireAt === 0 ? [] : [['expiresAt', JSON.stringify(momentOf(expireAt))] as const]),
  ];
}

function valueField(value: Uint8Array, as: Kind | undefined): readonly [string, string] {
  if (as === 'text') {
    const text = textOf(value);
    if (text === undefined) throw new Problem('not-acceptable', 'the value is not text in UTF-8');
    return ['text', JSON.stringify(text)];
  }
  const json = as === 'bytes' ? undefined : jsonOf(value);
  if (json !== undefined) return ['value', json];
  if (as === 'json') throw new Problem('not-acceptable', 'the value is not JSON');
  return ['base64', JSON.stringify(base64Of(value))];
}

/** All siblings: the list. One of another kind than asked for is shown as it is: none may be hidden. */
export function siblingsText(versions: readonly Version[], as: Kind | undefined): string {
  const texts = versions.map((version) => {
    try {
      return objectText(valueFields(version, as));
    } catch (error) {
      if (error instanceof Problem) return objectText(valueFields(version, undefined));
      throw error;
    }
  });
  return `[${texts.join(',')}]`;
}

/** The body of a 300. */
export function siblingsBody(key: ByteString, { versions, context }: Versions, as: Kind | undefined): string {
  return objectText([
    ...keyFields(key),
    ['context', JSON.stringify(contextText(context))],
    ['siblings', siblingsText(versions, as)],
  ]);
}
