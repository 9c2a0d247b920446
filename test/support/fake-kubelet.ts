/**
 * A make-believe StatefulSet: runs the pods of a rendered chart as processes, as many as the fake API server says.
 *
 * What the manifest says is done: command, environment, files of the ConfigMap, restarts, the preStop hook, and the
 * volume that goes with a pod that is one too many. A pod has an address of its own on loopback (127.0.1.N) in place
 * of its DNS name, and folders of its own in place of `/etc/dure`, `/data` and `/tmp`.
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeKubernetes } from './fake-kubernetes.ts';
import type { Manifest } from './helm.ts';
import { DURE, Started } from './process.ts';
import { delay } from './wait.ts';

interface Container {
  readonly command: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
  }[];
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
}

export interface PodSet {
  readonly statefulSet: Manifest & {
    readonly spec: {
      readonly serviceName: string;
      readonly template: { readonly spec: { readonly containers: readonly [Container] } };
    };
  };
  readonly configMap: Manifest & { readonly data: Readonly<Record<string, string>> };
  readonly namespace: string;
}

interface Pod {
  readonly name: string;
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  process: Started | undefined;
  isEnding: boolean;
  /** Exit codes of processes that ended by themselves. */
  readonly exits: (number | null)[];
  readonly output: string[];
}

const lookMs = 100;
const restartMs = 500;

export class FakeKubelet {
  readonly #set: PodSet;
  readonly #server: FakeKubernetes;
  readonly #folder: string;
  readonly #pods: Map<number, Pod> = new Map();
  readonly #work: Set<Promise<void>> = new Set();
  /** What happened to pods: `start shop-0`, `stop shop-3`, … */
  readonly events: string[] = [];
  #isOver = false;
  readonly #loop: Promise<void>;

  constructor(set: PodSet, server: FakeKubernetes, folder: string) {
    this.#set = set;
    this.#server = server;
    this.#folder = folder;
    mkdirSync(join(folder, 'bin'), { recursive: true });
    const script = `#!/bin/sh\nexec ${DURE.map((word) => `'${word}'`).join(' ')} "$@"\n`;
    writeFileSync(join(folder, 'bin', 'dure'), script, { mode: 0o755 });
    this.#loop = this.#run();
  }

  static addressOf(ordinal: number): string {
    return `127.0.1.${ordinal + 1}`;
  }

  get pods(): readonly string[] {
    return [...this.#pods.values()].map(({ name }) => name).sort();
  }

  /** What the processes of a pod wrote, and how those ended that ended by themselves. */
  pod(ordinal: number): { readonly exits: readonly (number | null)[]; readonly output: string } {
    const pod = this.#pods.get(ordinal);
    return { exits: pod?.exits ?? [], output: pod === undefined ? '' : outputOf(pod) };
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#loop;
    await Promise.all([...this.#pods.values()].map(async ({ process }) => process?.end('SIGTERM')));
    await Promise.all(this.#work);
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const { replicas } = this.#server;
      for (let ordinal = 0; ordinal < replicas; ordinal++) {
        if (!this.#pods.has(ordinal)) this.#create(ordinal);
      }
      for (const [ordinal, pod] of this.#pods) {
        if (ordinal >= replicas && !pod.isEnding) this.#keep(this.#terminate(ordinal, pod));
      }
      await delay(lookMs);
    }
  }

  #keep(work: Promise<void>): void {
    this.#work.add(work);
    work.finally(() => this.#work.delete(work));
  }

  #create(ordinal: number): void {
    const { statefulSet, configMap } = this.#set;
    const name = `${statefulSet.metadata.name}-${ordinal}`;
    const folder = join(this.#folder, name);
    for (const part of ['etc', 'data', 'tmp']) mkdirSync(join(folder, part), { recursive: true });
    const translate = this.#translatorFor(ordinal, folder);
    for (const [file, text] of Object.entries(configMap.data)) {
      writeFileSync(join(folder, 'etc', file), translate(text));
    }
    const env: Record<string, string> = {
      PATH: `${join(this.#folder, 'bin')}:${process.env.PATH}`,
      KUBECONFIG: join(this.#folder, 'kubeconfig'),
      // All pods are on one machine here: each listens at its own address.
      DURE_BIND: FakeKubelet.addressOf(ordinal),
    };
    for (const { name: variable, value, valueFrom } of this.#container.env) {
      const field = valueFrom?.fieldRef?.fieldPath;
      const text = value ?? (field === 'metadata.name' ? name : '');
      env[variable] = translate(text.replaceAll('$(POD_NAME)', name));
    }
    const pod: Pod = { name, folder, env, process: undefined, isEnding: false, exits: [], output: [] };
    this.#pods.set(ordinal, pod);
    this.#keep(this.#supervise(pod));
  }

  get #container(): Container {
    return this.#set.statefulSet.spec.template.spec.containers[0];
  }

  /** What is written for a pod on a machine of its own, for one that shares this one. */
  #translatorFor(ordinal: number, folder: string): (text: string) => string {
    const { statefulSet, namespace } = this.#set;
    const { name } = statefulSet.metadata;
    const names = new RegExp(`\\b${name}-(\\d+)\\.${statefulSet.spec.serviceName}\\.${namespace}\\.svc`, 'g');
    return (text) =>
      text
        .replaceAll(names, (_, digits: string) => FakeKubelet.addressOf(Number(digits)))
        .replaceAll('127.0.0.1:', `${FakeKubelet.addressOf(ordinal)}:`)
        .replaceAll('/tmp/', `${folder}/tmp/`)
        .replaceAll('/etc/dure', `${folder}/etc`)
        .replaceAll('/data', `${folder}/data`);
  }

  #exec(pod: Pod, command: readonly string[]): Started {
    const argv = command.map((word) => word.replaceAll('/etc/dure', `${pod.folder}/etc`));
    return new Started(argv, { env: pod.env, cwd: pod.folder });
  }

  /** Starts the process of a pod again whenever it ends by itself. */
  async #supervise(pod: Pod): Promise<void> {
    while (!pod.isEnding && !this.#isOver) {
      this.events.push(`start ${pod.name}`);
      const started = this.#exec(pod, this.#container.command);
      pod.process = started;
      const { code, stdout, stderr } = await started.finished(600_000);
      pod.process = undefined;
      pod.output.push(stdout + stderr);
      if (pod.isEnding || this.#isOver) return;
      pod.exits.push(code);
      this.events.push(`exit ${pod.name} ${code}`);
      await delay(restartMs);
    }
  }

  async #terminate(ordinal: number, pod: Pod): Promise<void> {
    pod.isEnding = true;
    if (pod.process !== undefined) {
      const hook = this.#exec(pod, this.#container.lifecycle.preStop.exec.command);
      // A hook ends with the container that it runs in.
      const ended = pod.process.finished(120_000).then(() => hook.end('SIGKILL'));
      const { code, signal, stdout, stderr } = await hook.finished(120_000);
      this.events.push(`preStop ${pod.name} ${code ?? signal}`);
      pod.output.push(stdout + stderr);
      await pod.process?.end('SIGTERM');
      await ended;
    }
    this.events.push(`stop ${pod.name}`);
    // As persistentVolumeClaimRetentionPolicy says.
    rmSync(pod.folder, { recursive: true, force: true, maxRetries: 3 });
    this.#pods.delete(ordinal);
  }
}

function outputOf({ output, process }: Pod): string {
  return [...output, ...(process === undefined ? [] : [process.stdout, process.stderr])].join('\n');
}
