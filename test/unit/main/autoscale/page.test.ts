/** The pages that the autoscaler serves: health, metrics, decisions. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Controller } from '../../../../src/autoscale/controller.ts';
import { AUTOSCALE_DEFAULTS } from '../../../../src/autoscale/settings.ts';
import { AutoscalePage, listenAddressOf } from '../../../../src/main/autoscale/page.ts';
import { busyThree } from '../../../support/observation.ts';

describe('the page of the autoscaler', () => {
  async function withPage(
    silenceMsMax: number,
    run: (
      ask: (path: string) => Promise<Response>,
      page: AutoscalePage,
      controller: Controller,
    ) => Promise<void>,
  ): Promise<void> {
    const controller = new Controller({ ...AUTOSCALE_DEFAULTS, growAfterMs: 0 });
    const page = new AutoscalePage({ log: controller.log, silenceMsMax });
    const port = await page.listen({ host: '127.0.0.1', port: 0 });
    try {
      await run((path) => fetch(`http://127.0.0.1:${port}${path}`), page, controller);
    } finally {
      await page.close();
    }
  }

  test('shows figures and decisions', async () => {
    await withPage(60_000, async (ask, page, controller) => {
      page.looked(controller.observe(0, busyThree));
      page.done({ action: 'add', node: 'n4', error: '' });
      const text = await (await ask('/metrics')).text();
      assert.match(text, /^dure_autoscale_nodes 3$/m);
      assert.match(text, /^dure_autoscale_measure\{measure="cpu",of="value"\} 0\.9$/m);
      assert.match(text, /^dure_autoscale_decisions_total\{action="grow"\} 1$/m);
      assert.match(text, /^dure_autoscale_deeds_total\{action="add",outcome="ok"\} 1$/m);
      // When nobody tells, there is no figure.
      page.looked(
        controller.observe(1, { ...busyThree, nodes: [{ ...busyThree.nodes[0]!, cpu: undefined }] }),
      );
      assert.doesNotMatch(await (await ask('/metrics')).text(), /of="value"/);
      const { decisions } = (await (await ask('/decisions')).json()) as { decisions: { action: string }[] };
      assert.deepEqual(
        decisions.map(({ action }) => action),
        ['grow', 'hold'],
      );
      assert.equal((await ask('/')).status, 404);
      assert.equal((await ask('/health/live')).status, 200);
    });
  });

  test('is dead when it has not looked for too long', async () => {
    await withPage(-1, async (ask) => {
      assert.equal((await ask('/health/live')).status, 503);
    });
  });

  test('addresses to listen on', () => {
    assert.deepEqual(listenAddressOf(':9371'), { host: '127.0.0.1', port: 9371 });
    assert.deepEqual(listenAddressOf('[::1]:80'), { host: '::1', port: 80 });
    assert.deepEqual(listenAddressOf('0.0.0.0:9371'), { host: '0.0.0.0', port: 9371 });
    for (const wrong of ['9371', 'somewhere:1', '127.0.0.1:70000', '']) {
      assert.throws(() => listenAddressOf(wrong), /expected an address and a port/);
    }
  });
});
