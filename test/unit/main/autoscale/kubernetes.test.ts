/** The provisioner of Kubernetes, through the official client, against a make-believe API server. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { kubernetesProvisioner } from '../../../../src/main/autoscale/kubernetes.ts';
import type { Provisioner } from '../../../../src/main/autoscale/provisioner.ts';
import { FakeKubernetes } from '../../../support/fake-kubernetes.ts';

describe('the provisioner of Kubernetes', () => {
  let server: FakeKubernetes;
  let provisioner: Provisioner;

  beforeEach(async () => {
    server = await FakeKubernetes.start(3);
    provisioner = await make();
  });
  afterEach(() => server.close());

  function make(statefulSet = 'dure', timeoutMs = 10_000): Promise<Provisioner> {
    const { config } = server;
    return kubernetesProvisioner({ statefulSet, namespace: 'shop', config, retryMs: 1, timeoutMs });
  }

  test('lists the pods, of which the last can be taken away', async () => {
    assert.equal(provisioner.name, 'StatefulSet shop/dure');
    assert.deepEqual(await provisioner.list(), [
      { id: 'dure-0', removable: false },
      { id: 'dure-1', removable: false },
      { id: 'dure-2', removable: true },
    ]);
    server.set(0);
    assert.deepEqual(await provisioner.list(), []);
  });

  test('one more, and asked again it is still one more', async () => {
    const before = await provisioner.list();
    assert.equal(await provisioner.add(before), 'dure-3');
    assert.equal(server.replicas, 4);
    assert.equal(await provisioner.add(before), 'dure-3');
    assert.equal(server.replicas, 4);
    assert.deepEqual(server.calls, ['GET', 'GET', 'PUT 4', 'GET']);
  });

  test('takes away the last pod only, once', async () => {
    await assert.rejects(provisioner.remove('dure-1'), /dure-1 is not the last pod .* dure-2 would go/);
    assert.equal(server.replicas, 3);
    await provisioner.remove('dure-2');
    await provisioner.remove('dure-2');
    assert.equal(server.replicas, 2);
    assert.deepEqual(server.calls, ['GET', 'GET', 'PUT 2', 'GET']);
  });

  test('a conflict: what somebody else did is looked at before it is tried again', async () => {
    const before = await provisioner.list();
    server.meddle = () => server.set(5);
    await provisioner.add(before);
    assert.equal(server.replicas, 5);
    assert.deepEqual(server.calls, ['GET', 'GET', 'PUT 409', 'GET']);
    server.meddle = () => server.set(6);
    // Another pod is the last one now: this one must not go.
    await assert.rejects(provisioner.remove('dure-4'), /dure-5 would go in its place/);
    assert.equal(server.replicas, 6);
  });

  test('a server in trouble is asked again, and what was done without an answer is not done twice', async () => {
    server.faults.push(503, 429, 'cut');
    assert.equal((await provisioner.list()).length, 3);
    const before = await provisioner.list();
    server.faults.push(undefined, 500, undefined, 'lost');
    await provisioner.add(before);
    assert.equal(server.replicas, 4);
    assert.deepEqual(server.calls.slice(-5), ['GET', 'PUT 500', 'GET', 'PUT 4', 'GET']);
  });

  test('gives up in words, when it is refused at once', async () => {
    server.faults.push(503, 503, 503, 503, 503);
    await assert.rejects(provisioner.list(), /the API server answered 503 \(a fault of the test\)/);
    server.calls.length = 0;
    server.faults.push(403);
    await assert.rejects(
      provisioner.list(),
      /403 .*; the service account needs get and update on statefulsets\/scale/,
    );
    await assert.rejects((await make('other')).list(), /answered 404/);
    assert.deepEqual(server.calls, ['GET 403', 'GET 404']);
    const slow = await make('dure', 20);
    server.faults.push(...Array<'silent'>(5).fill('silent'));
    await assert.rejects(slow.list(), /cannot be reached: .*timeout/);
  });

  test('a number of pods that cannot be is not believed', async () => {
    server.set(1_000_000);
    await assert.rejects(provisioner.list(), /tells 1000000 replicas/);
  });
});
