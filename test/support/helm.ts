/** Renders a Helm chart of ours as `helm template` does: values checked by their schema, one object after the other. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse, parseAllDocuments } from 'yaml';
import { Engine } from './go-template.ts';

type Tree = Readonly<Record<string, unknown>>;

/** What is taken from a manifest. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

export interface Release {
  readonly name: string;
  readonly namespace: string;
  /** Over those of `values.yaml`. */
  readonly values: Tree;
  /** What the cluster has; nothing if left out. */
  readonly lookup?: (args: readonly string[]) => unknown;
}

/** Values with others laid over them: objects are merged, null takes a key away. */
function overlaid(base: unknown, over: unknown): unknown {
  if (!isTree(base) || !isTree(over)) return over;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (value === null) delete merged[key];
    else merged[key] = key in merged ? overlaid(merged[key], value) : value;
  }
  return merged;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The values a release would have. @throws Error with what the schema says against them */
export function valuesOf(chart: string, over: Tree): Tree {
  const values = overlaid(parse(readFileSync(join(chart, 'values.yaml'), 'utf8')), over) as Tree;
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as object;
  const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
  const check = ajv.compile(schema);
  if (!check(values)) throw new Error(ajv.errorsText(check.errors, { dataVar: 'values' }));
  return values;
}

/** The files of a chart as they would be sent to a cluster, by template. */
export function renderChart(chart: string, release: Release): ReadonlyMap<string, string> {
  const about = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8')) as {
    readonly name: string;
    readonly version: string;
    readonly appVersion: string;
  };
  const engine = new Engine(release.lookup);
  const base = `${about.name}/templates`;
  const files = readdirSync(join(chart, 'templates')).sort();
  for (const file of files)
    engine.add(`${base}/${file}`, readFileSync(join(chart, 'templates', file), 'utf8'));
  const root = {
    Values: valuesOf(chart, release.values),
    Release: { Name: release.name, Namespace: release.namespace, Service: 'Helm' },
    Chart: { Name: about.name, Version: about.version, AppVersion: about.appVersion },
  };
  return new Map(
    files
      .filter((file) => !file.startsWith('_'))
      .map((file) => {
        const name = `${base}/${file}`;
        return [file, engine.run(name, { ...root, Template: { BasePath: base, Name: name } })];
      }),
  );
}

/** Every object that a chart makes. @throws Error for what is not YAML */
export function manifestsOf(rendered: ReadonlyMap<string, string>): Manifest[] {
  const manifests: Manifest[] = [];
  for (const [file, text] of rendered) {
    if (!file.endsWith('.yaml')) continue;
    for (const document of parseAllDocuments(text, { uniqueKeys: true })) {
      if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0]!.message}\n${text}`);
      const value = document.toJS() as Manifest | null;
      if (value !== null) manifests.push(value);
    }
  }
  return manifests;
}
