/** docs/client.md is true: its code runs as one program and prints what it says, and its table has every option. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import {
  checkNamed,
  checkPrinted,
  checkTyped,
  namesIn,
  PROPERTY,
  programOf,
  textOf,
} from '../support/guide.ts';

const title = 'docs/client.md';
const guide = textOf(title);
const client = { name: 'dure/client', entry: 'client/index.ts' };

describe('the guide of the client', { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-guide-'));
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.start();
  });

  after(async () => {
    await cluster.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('runs, and prints what it says', async () => {
    const program = programOf(guide, 11).replace(
      /127\.0\.0\.1:637(\d)/g,
      (_, node: string) => `127.0.0.1:${cluster.respPort(Number(node) - 1)}`,
    );
    await checkPrinted(directory, program, { ...client, linesMin: 11 });
  });

  it('has the types it should have', () => checkTyped(directory, programOf(guide, 11), client));

  it('has every option, event, metric and code of an error', () => {
    for (const name of [
      ...namesIn('client/options.ts', /interface ConnectOptions<T> \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('client/near-cache.ts', /interface NearCacheOptions \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('client/backoff.ts', /interface RetryBudgetOptions \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('client/events.ts', /interface ClientEvents \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('client/metrics.ts', /interface ClientMetrics \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('client/metrics.ts', /interface LatencySummary \{(.*?)^\}/ms, PROPERTY),
      ...namesIn('client/errors.ts', /type ClientErrorCode =(.*?);/ms, /\| '([\w-]+)'/g),
    ]) {
      checkNamed(guide, name, title);
    }
  });
});
