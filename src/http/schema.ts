/** Words for the response schemas of the HTTP door: an answer holds what its schema says, and nothing else. */

export const TEXT = { type: 'string' } as const;
export const WHOLE = { type: 'integer' } as const;
export const NUMBER = { type: 'number' } as const;
export const FLAG = { type: 'boolean' } as const;

/** An object with these properties. `optional` may be left out. */
export function objectSchema(
  properties: Readonly<Record<string, unknown>>,
  optional: Readonly<Record<string, unknown>> = {},
): object {
  return {
    type: 'object',
    required: Object.keys(properties),
    additionalProperties: false,
    properties: { ...properties, ...optional },
  };
}

export function listSchema(items: unknown): object {
  return { type: 'array', items };
}

/** One of these words. */
export function wordSchema(...words: readonly string[]): object {
  return { type: 'string', enum: words };
}
