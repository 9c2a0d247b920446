/** docs/embedding.md is true: its code runs as one program and prints what it says, and it has every option and event. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  checkNamed,
  checkPrinted,
  checkTyped,
  namesIn,
  PROPERTY,
  programOf,
  textOf,
} from '../support/guide.ts';
import { freePortBase } from '../support/ports.ts';

const title = 'docs/embedding.md';
const guide = textOf(title);
const dure = { name: 'dure', entry: 'embed/index.ts' };

describe('the guide to embedding', { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-guide-'));

  after(() => rmSync(directory, { recursive: true, force: true }));

  it('runs, and prints what it says', async () => {
    const base = await freePortBase(3);
    const program = programOf(guide, 6).replace(
      /peerPort: 700(\d)/g,
      (_, n: string) => `peerPort: ${base + Number(n) - 1}`,
    );
    await checkPrinted(directory, program, { ...dure, linesMin: 9 });
  });

  it('has the types it should have', () => checkTyped(directory, programOf(guide, 6), dure));

  it('has every option, event and code of an error', () => {
    for (const name of [
      ...namesIn('embed/options.ts', /interface NodeOptions<T> \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('embed/options.ts', /interface MemberOptions \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('embed/events.ts', /interface NodeEvents \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('src/base/errors.ts', /type ErrorCode =(.*?);\n\n/ms, /\| '([\w-]+)'/g),
    ]) {
      checkNamed(guide, name === 'siblings' ? 'SIBLINGS' : name, title);
    }
  });
});
