/**
 * The Helm chart, rendered without Helm and held against the schemas of Kubernetes and against our own
 * configuration. No cluster runs it here: docs/autoscaling.md says what that leaves open.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as client from '@kubernetes/client-node';
import * as apps from 'kubernetes-models/apps/v1';
import * as networking from 'kubernetes-models/networking.k8s.io/v1';
import * as policy from 'kubernetes-models/policy/v1';
import * as rbac from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import * as core from 'kubernetes-models/v1';
import { parse } from 'yaml';
import { AUTOSCALE_SETTINGS, loadAutoscale } from '../../../src/main/autoscale/settings.ts';
import { loadConfig } from '../../../src/main/config.ts';
import { TemplateFailure } from '../../support/go-template.ts';
import { type Manifest, manifestsOf, type Release, renderChart } from '../../support/helm.ts';

const chart = fileURLToPath(new URL('../../../deploy/helm/dure', import.meta.url));

function render(values: Release['values'] = {}, lookup?: Release['lookup']): Manifest[] {
  const release = { name: 'shop', namespace: 'data', values };
  return manifestsOf(renderChart(chart, lookup === undefined ? release : { ...release, lookup }));
}

function one<T>(manifests: readonly Manifest[], kind: string, name = 'shop'): T {
  const found = manifests.filter((each) => each.kind === kind && each.metadata.name === name);
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0] as T;
}

interface Model {
  getAttributeTypeMap(): readonly { readonly baseName: string; readonly type: string }[];
}

const models = client as unknown as Readonly<Record<string, Model | undefined>>;

/** Fields that the models of the official client do not have: the schemas let anything pass that they do not know. */
function strangers(value: unknown, type: string, path: string): string[] {
  const list = /^Array<(.+)>$/.exec(type);
  if (list !== null) {
    return (value as unknown[]).flatMap((item, i) => strangers(item, list[1]!, `${path}[${i}]`));
  }
  const model = models[type];
  if (model?.getAttributeTypeMap === undefined) return [];
  const fields = new Map(model.getAttributeTypeMap().map((field) => [field.baseName, field.type]));
  return Object.entries(value as object).flatMap(([name, inner]) => {
    const field = fields.get(name);
    return field === undefined ? [`${path}.${name}`] : strangers(inner, field, `${path}.${name}`);
  });
}

type Kinds = Readonly<Record<string, (new (data: object) => { validate(): void }) | undefined>>;

const schemas = {
  v1: core,
  'apps/v1': apps,
  'networking.k8s.io/v1': networking,
  'policy/v1': policy,
  'rbac.authorization.k8s.io/v1': rbac,
} as unknown as Readonly<Record<string, Kinds | undefined>>;

/** What is wrong with a manifest: by the JSON schema of its kind, and by the fields that there are. */
function faults(manifest: Manifest): string[] {
  const { apiVersion, kind } = manifest;
  const Kind = schemas[apiVersion]?.[kind];
  if (Kind === undefined) return [`no schema of ${apiVersion} ${kind}`];
  const found = strangers(manifest, `V1${kind}`, kind);
  try {
    new Kind(manifest).validate();
  } catch (error) {
    found.push((error as Error).message);
  }
  return found;
}

const everything = {
  autoscaler: { enabled: true, dryRun: true, settings: { operationsTarget: 2000, p99TargetMs: '20ms' } },
  networkPolicy: { enabled: true, clients: [{ namespaceSelector: {} }] },
  password: { secretName: 'dure-password' },
  imagePullSecrets: [{ name: 'registry' }],
  zone: { fromPodLabel: true },
  founders: 1,
  persistence: { storageClass: 'fast' },
  spread: { zones: 'required', machines: 'none' },
  httpHosts: ['dure.example'],
  podAnnotations: { team: 'data' },
  podLabels: { team: 'data' },
  nodeSelector: { disk: 'ssd' },
  tolerations: [{ key: 'dedicated', operator: 'Exists' }],
  priorityClassName: 'high',
  service: { annotations: { a: 'b' } },
  serviceAccount: { annotations: { a: 'b' } },
  config: { policy: 'PC/EC', limits: { requestTimeoutMs: '2s' } },
};

interface Pod {
  readonly containers: readonly {
    readonly command?: readonly string[];
    readonly args?: readonly string[];
    readonly env?: readonly { readonly name: string; readonly value?: string }[];
  }[];
  readonly topologySpreadConstraints: readonly {
    readonly topologyKey: string;
    readonly whenUnsatisfiable: string;
  }[];
}

interface Workload {
  readonly spec: {
    readonly replicas: number;
    readonly podManagementPolicy: string;
    readonly serviceName: string;
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: Pod;
    };
    readonly persistentVolumeClaimRetentionPolicy?: { readonly whenScaled: string };
  };
}

interface Texts {
  readonly data: Readonly<Record<string, string>>;
}

describe('the Helm chart', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-helm-'));
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('every object fits the schemas of Kubernetes and has no field that there is not', () => {
    const sets = [{}, everything, { persistence: { enabled: false }, stop: { leaveWhenScaledDown: false } }];
    for (const values of sets) {
      const manifests = render(values);
      assert.ok(manifests.length >= 5);
      for (const manifest of manifests) assert.deepEqual(faults(manifest), [], manifest.kind);
    }
    const kinds = render(everything).map(({ kind }) => kind);
    for (const kind of ['NetworkPolicy', 'Deployment', 'Role', 'PodDisruptionBudget'])
      assert.ok(kinds.includes(kind), kind);
  });

  test('the checks find a wrong field, a wrong type and a wrong word', () => {
    const set = one<Manifest>(render(), 'StatefulSet');
    const broken = (change: (spec: Record<string, unknown>) => void): string => {
      const copy = structuredClone(set) as Manifest & { spec: Record<string, unknown> };
      change(copy.spec);
      return faults(copy).join('\n');
    };
    assert.match(
      broken((spec) => (spec.serviceNme = 'x')),
      /StatefulSet\.spec\.serviceNme/,
    );
    assert.match(
      broken((spec) => (spec.replicas = 'three')),
      /replicas/,
    );
    assert.match(
      broken((spec) => (spec.podManagementPolicy = 'Together')),
      /podManagementPolicy/,
    );
    assert.match(
      broken((spec) => delete spec.template),
      /template/,
    );
  });

  test('founders get a configuration in which they are members, the others one in which they join', () => {
    const manifests = render();
    const { data } = one<Texts>(manifests, 'ConfigMap');
    const file = join(directory, 'node.yaml');
    const load = (
      id: string,
      text: string,
      more: Record<string, string> = {},
    ): ReturnType<typeof loadConfig> => {
      writeFileSync(file, text);
      const host = `${id}.shop-nodes.data.svc`;
      return loadConfig({ file, environment: { DURE_NODE_ID: id, DURE_HOST: host, ...more } });
    };
    const founder = load('shop-1', `${data['common.yaml']}${data['founders.yaml']}`);
    assert.deepEqual(founder.problems, []);
    assert.equal(founder.config!.members.length, 3);
    assert.equal(founder.config!.self.host, 'shop-1.shop-nodes.data.svc');
    assert.equal(founder.config!.storage.durability, 'always');
    assert.equal(founder.config!.bind, '0.0.0.0');
    const joins = /DURE_JOIN="([^"]*)"/.exec(data['start.sh']!)![1]!;
    const joiner = load('shop-3', data['common.yaml']!, { DURE_JOIN: joins });
    assert.deepEqual(joiner.problems, []);
    assert.equal(joiner.config!.join.length, 3);
    assert.equal(joiner.config!.self.httpPort, 8371);
    const zoned = one<Texts>(render(everything), 'ConfigMap').data;
    const alone = load('shop-0', `${zoned['common.yaml']}${zoned['founders.yaml']}`, { DURE_ZONE: 'eu-1a' });
    assert.deepEqual(alone.problems, []);
    assert.equal(alone.config!.self.zone, 'eu-1a');
    assert.ok(alone.config!.http.hosts.includes('dure.example'));
  });

  test('the start script founds or joins by the ordinal, and knows no zone that is empty', () => {
    const script = (values: object): string =>
      one<Texts>(render(values as Release['values']), 'ConfigMap').data['start.sh']!;
    /** Runs it with a `dure` that says how it was called. */
    const run = (text: string, pod: string, zone: string): string => {
      const file = join(directory, 'start.sh');
      writeFileSync(file, text.replaceAll('/tmp/', `${directory}/`).replaceAll('/etc/dure', directory));
      writeFileSync(join(directory, 'common.yaml'), 'a: 1\n');
      writeFileSync(join(directory, 'founders.yaml'), 'members: []\n');
      const said = `#!/bin/sh\necho "$*|join=\${DURE_JOIN:-}|zone=\${DURE_ZONE-unset}"\n`;
      writeFileSync(join(directory, 'dure'), said, { mode: 0o755 });
      // Nobody is next to it.
      writeFileSync(join(directory, 'node'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
      const env = { PATH: `${directory}:${process.env.PATH}`, POD_NAME: pod, DURE_ZONE: zone };
      const output = execFileSync('/bin/sh', [file], { env, encoding: 'utf8' });
      return (
        output.replaceAll(directory, '').trim() +
        readFileSync(join(directory, 'node.yaml'), 'utf8').replaceAll('\n', ';')
      );
    };
    const three = script({});
    assert.equal(run(three, 'shop-2', ''), 'start --config /node.yaml|join=|zone=unseta: 1;members: [];');
    assert.match(
      run(three, 'shop-10', 'b'),
      /^start --config \/node\.yaml\|join=shop-0\.shop-nodes\.data\.svc:8371,.*\|zone=ba: 1;$/,
    );
    const single = script(everything);
    assert.equal(run(single, 'shop-0', 'b'), 'start --config /node.yaml|join=|zone=ba: 1;');
    assert.match(run(single, 'shop-1', 'b'), /join=shop-0\.shop-nodes\.data\.svc:8371\|/);
  });

  test('the stateful set: as many pods as founders, started together, selected by what they are', () => {
    const manifests = render();
    const { spec } = one<Workload>(manifests, 'StatefulSet');
    assert.equal(spec.replicas, 3);
    assert.equal(spec.podManagementPolicy, 'Parallel');
    assert.equal(spec.persistentVolumeClaimRetentionPolicy!.whenScaled, 'Delete');
    const { labels } = spec.template.metadata;
    for (const [name, value] of Object.entries(spec.selector.matchLabels)) assert.equal(labels[name], value);
    one(manifests, 'Service', spec.serviceName);
    assert.deepEqual(
      spec.template.spec.topologySpreadConstraints.map(({ topologyKey, whenUnsatisfiable }) => [
        topologyKey,
        whenUnsatisfiable,
      ]),
      [
        ['topology.kubernetes.io/zone', 'ScheduleAnyway'],
        ['kubernetes.io/hostname', 'ScheduleAnyway'],
      ],
    );
    const spread = one<Workload>(render(everything), 'StatefulSet').spec.template.spec
      .topologySpreadConstraints;
    assert.deepEqual(
      spread.map(({ whenUnsatisfiable }) => whenUnsatisfiable),
      ['DoNotSchedule'],
    );
  });

  test('an upgrade keeps the number of pods that the autoscaler set', () => {
    const lookup = (args: readonly string[]): unknown => {
      assert.deepEqual(args, ['apps/v1', 'StatefulSet', 'data', 'shop']);
      return { spec: { replicas: 7 } };
    };
    assert.equal(one<Workload>(render({}, lookup), 'StatefulSet').spec.replicas, 7);
    assert.equal(one<Workload>(render({ nodes: 5 }, lookup), 'StatefulSet').spec.replicas, 5);
  });

  test('the autoscaler is called as it can be, with settings that it takes', () => {
    const manifests = render(everything);
    const { args = [] } = one<Workload>(manifests, 'Deployment', 'shop-autoscaler').spec.template.spec
      .containers[0]!;
    assert.deepEqual(args.slice(0, 4), [
      'autoscale',
      '--through=shop.data.svc:8371',
      '--kubernetes=shop',
      '--namespace=data',
    ]);
    assert.ok(args.includes('--dry-run'));
    const file = join(directory, 'settings.yaml');
    writeFileSync(file, one<Texts>(manifests, 'ConfigMap', 'shop-autoscaler').data['settings.yaml']!);
    const { config, problems } = loadAutoscale({ file, flags: new Map(), environment: {} });
    assert.deepEqual(problems, []);
    assert.equal(config!.p99TargetMs, 20);
    const schema = parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as {
      properties: { autoscaler: { properties: { settings: { properties: object } } } };
    };
    assert.deepEqual(
      Object.keys(schema.properties.autoscaler.properties.settings.properties).sort(),
      AUTOSCALE_SETTINGS.map(({ name }) => name).sort(),
    );
  });

  test('values that cannot be meant are refused, in words', () => {
    const refused = (values: Release['values'], words: RegExp, kind?: new () => Error): void => {
      assert.throws(
        () => render(values),
        (error: Error) => words.test(error.message) && (kind === undefined || error instanceof kind),
      );
    };
    refused({ founder: 3 }, /values must NOT have additional properties/);
    refused({ founders: 0 }, /founders must be >= 1/);
    refused({ config: { nodeId: 'x' } }, /property name must be valid|must NOT be valid/);
    refused({ zone: { fromPodLabel: true } }, /needs founders: 1/, TemplateFailure);
    refused({ nodes: 2 }, /nodes must not be less than founders/, TemplateFailure);
    const scaled = { enabled: true };
    refused(
      { autoscaler: { ...scaled, settings: { nodesMin: 2 } } },
      /nodesMin must not be less/,
      TemplateFailure,
    );
    refused({ autoscaler: scaled, persistence: { enabled: false } }, /needs persistence/, TemplateFailure);
    refused(
      { autoscaler: scaled, config: { storage: { engine: 'memory' } } },
      /needs persistence/,
      TemplateFailure,
    );
  });
});
