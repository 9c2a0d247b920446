/**
 * The Helm chart and `dure autoscale --kubernetes` together, without Kubernetes: the pods of the rendered chart are
 * processes with the commands, files and hooks of its manifest (`test/support/fake-kubelet.ts`), and the API server is
 * a fake one that knows the size of the StatefulSet. Founders found, a load brings a pod that joins, without it that
 * pod leaves; and a pod taken away by hand leaves by its preStop hook.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TopologyAnswer } from '../../src/http/api/topology-json.ts';
import { httpCall, wholeText } from '../../src/main/http-call.ts';
import { FakeKubelet, type PodSet } from '../support/fake-kubelet.ts';
import { FakeKubernetes } from '../support/fake-kubernetes.ts';
import { manifestsOf, renderChart } from '../support/helm.ts';
import { OpenLoop } from '../support/open-loop.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, Started } from '../support/process.ts';
import { until } from '../support/wait.ts';

const chart = fileURLToPath(new URL('../../deploy/helm/dure', import.meta.url));
const namespace = 'data';
const target = 40;
const patienceMs = 60_000;

function render(base: number): PodSet & { readonly args: readonly string[]; readonly settings: string } {
  const ports = { resp: base, peer: base + 1000, http: base + 2000 };
  const settings = {
    nodesMin: 3,
    nodesMax: 4,
    operationsTarget: target,
    cpuTarget: 0,
    growAfterMs: '1s',
    shrinkAfterMs: '1s',
    coolDownMs: '2s',
    intervalMs: 500,
  };
  const values = { ports, autoscaler: { enabled: true, settings }, stop: { drainGrace: '0s' } };
  const manifests = manifestsOf(renderChart(chart, { name: 'shop', namespace, values }));
  const find = (kind: string, name: string): unknown =>
    manifests.find((each) => each.kind === kind && each.metadata.name === name);
  const deployment = find('Deployment', 'shop-autoscaler') as {
    spec: { template: { spec: { containers: [{ args: string[] }] } } };
  };
  const ofAutoscaler = find('ConfigMap', 'shop-autoscaler') as PodSet['configMap'];
  return {
    statefulSet: find('StatefulSet', 'shop') as PodSet['statefulSet'],
    configMap: find('ConfigMap', 'shop') as PodSet['configMap'],
    namespace,
    args: deployment.spec.template.spec.containers[0].args,
    settings: ofAutoscaler.data['settings.yaml']!,
  };
}

async function membersAt(port: number): Promise<string> {
  try {
    const answer = await httpCall(`${FakeKubelet.addressOf(0)}:${port}`, '/v1/topology', { timeoutMs: 2000 });
    const { phase, members } = JSON.parse(await wholeText(answer)) as TopologyAnswer;
    return `${phase}: ${members.map(({ id }) => id).join(' ')}`;
  } catch (error) {
    return (error as Error).message;
  }
}

async function isReady(ordinal: number, port: number): Promise<boolean> {
  const answer = await httpCall(`${FakeKubelet.addressOf(ordinal)}:${port}`, '/health/ready', {
    timeoutMs: 2000,
  });
  await wholeText(answer);
  return answer.status === 200;
}

const three = 'steady: shop-0 shop-1 shop-2';
const four = `${three} shop-3`;

test('pods of the chart found, join and leave, by load and by hand', { timeout: 230_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dure-kubernetes-'));
  const base = await freePortBase(1);
  const httpPort = base + 2000;
  const rendered = render(base);
  const server = await FakeKubernetes.start(3, namespace, 'shop');
  writeFileSync(join(folder, 'kubeconfig'), server.config.exportConfig());
  mkdirSync(join(folder, 'etc'));
  writeFileSync(join(folder, 'etc', 'settings.yaml'), rendered.settings);
  const kubelet = new FakeKubelet(rendered, server, folder);
  let autoscaler: Started | undefined;
  let load: OpenLoop | undefined;
  const reach = (wanted: string, replicas: number): Promise<void> =>
    until(
      async () => (await membersAt(httpPort)) === wanted && kubelet.pods.length === replicas,
      () =>
        `${wanted}: ${kubelet.events.join(', ')}\n${autoscaler?.stdout}\n${kubelet.pod(3).output.slice(-2000)}`,
      patienceMs,
    );
  try {
    await until(
      async () =>
        (await Promise.all([0, 1, 2].map((i) => isReady(i, httpPort).catch(() => false)))).every(Boolean),
      () => `three founders: ${kubelet.pod(0).output.slice(-2000)}`,
      patienceMs,
    );
    await reach(three, 3);
    const words = rendered.args.map((word) =>
      word
        .replace('shop.data.svc', FakeKubelet.addressOf(0))
        .replace('/etc/dure', join(folder, 'etc'))
        .replace('0.0.0.0:9371', '127.0.0.1:0'),
    );
    autoscaler = new Started([...DURE, ...words], { env: { KUBECONFIG: join(folder, 'kubeconfig') } });
    load = new OpenLoop([base], FakeKubelet.addressOf(0));
    load.rate = 3 * target * 1.4;
    await reach(four, 4);
    assert.equal(server.replicas, 4);
    load.rate = target;
    await reach(three, 3);
    assert.equal(server.replicas, 3);
    await load.end();
    await autoscaler.end('SIGTERM');
    // By hand: nobody asks the node to leave but the hook of its pod.
    server.set(4);
    await reach(four, 4);
    server.set(3);
    await reach(three, 3);
    const hooks = kubelet.events.filter((event) => event.startsWith('preStop shop-3'));
    assert.equal(hooks.length >= 1, true, kubelet.events.join(', '));
    console.log(`kubernetes: ${kubelet.events.join(', ')}; ${load.answered} requests answered`);
    assert.deepEqual(load.failures, []);
    assert.equal(await load.lost(), 0);
  } finally {
    load?.close();
    await autoscaler?.end('SIGTERM');
    await kubelet.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
});
