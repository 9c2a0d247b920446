/** docs/http.md says what the code does, where that can be compared. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PROBLEM_KINDS } from '../../../src/http/api/problem.ts';
import { BATCH_OPERATIONS_MAX, LIST_LIMIT_MAX, QUERIES } from '../../../src/http/api/schemas.ts';

const page = readFileSync(new URL('../../../docs/http.md', import.meta.url), 'utf8');

test('the table of errors in docs/http.md is that of the code', () => {
  const told = page.split('\n').filter((line) => /^\| [45]\d\d \| /.test(line));
  const known = Object.entries(PROBLEM_KINDS).map(([code, { status, title, retryable }]) => {
    return `| ${status} | \`${code}\` | ${title} | ${retryable ? 'yes' : 'no'} |`;
  });
  assert.deepEqual(told.toSorted(), known.toSorted());
});

test('docs/http.md names every parameter, and the limits as they are', () => {
  const names = Object.values(QUERIES).flatMap((schema) => {
    return Object.keys((schema as unknown as { readonly shape?: object }).shape ?? {});
  });
  assert.ok(names.includes('siblings') && names.includes('cursor'));
  for (const name of names) assert.match(page, new RegExp(`[\`?&]${name}\\b`), name);
  assert.match(page, new RegExp(`operations in a batch \\| ${BATCH_OPERATIONS_MAX} `));
  assert.match(page, new RegExp(`about ${LIST_LIMIT_MAX} `));
});
