/**
 * The provisioner of Kubernetes: nodes are the pods of a StatefulSet, and there are as many as its `replicas` say.
 *
 * A StatefulSet is a stack: a pod more comes on top, with the next ordinal, and only the topmost can go. A pod's name
 * is the id of its node (the Helm chart sees to that), so who joins and who may leave is known before it happens.
 *
 * Only the `scale` of the one StatefulSet is read and written, and written only as it was read (by its resource
 * version): if somebody else changed it in between, it is read again and thought over.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type {
  AppsV1Api,
  ConfigurationOptions,
  KubeConfig,
  Observable,
  RequestContext,
  ResponseContext,
  V1Scale,
} from '@kubernetes/client-node';
import type { Instance, Provisioner } from './provisioner.ts';

export interface KubernetesOptions {
  readonly statefulSet: string;
  /** That of the pod this runs in, or of the kubeconfig, if left out. */
  readonly namespace?: string | undefined;
  /** Where the API server is and how to log in; as a pod or kubectl would if left out. */
  readonly config?: KubeConfig | undefined;
  /** Before the second try; doubled before each one after it. */
  readonly retryMs?: number;
  /** For an answer of the API server. */
  readonly timeoutMs?: number;
}

const triesMax = 5;
const retryMsDefault = 250;
const timeoutMsDefault = 10_000;
/** More pods than any cluster of ours: a number beyond is a mistake. */
const replicasMax = 1024;

/** @throws Error when no API server is configured. */
export async function kubernetesProvisioner(options: KubernetesOptions): Promise<Provisioner> {
  // Large, and of use to nobody else: loaded only here.
  const { AppsV1Api, KubeConfig, Observable } = await import('@kubernetes/client-node');
  let { config } = options;
  if (config === undefined) {
    config = new KubeConfig();
    config.loadFromDefault();
  }
  const namespace =
    options.namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? 'default';
  const call = limitedCall(Observable, options.timeoutMs ?? timeoutMsDefault);
  return new StatefulSetProvisioner(config.makeApiClient(AppsV1Api), call, { ...options, namespace });
}

class StatefulSetProvisioner implements Provisioner {
  readonly name: string;
  readonly #api: AppsV1Api;
  readonly #statefulSet: string;
  readonly #namespace: string;
  readonly #retryMs: number;
  readonly #call: ConfigurationOptions;

  constructor(
    api: AppsV1Api,
    call: ConfigurationOptions,
    options: KubernetesOptions & { readonly namespace: string },
  ) {
    this.#api = api;
    this.#call = call;
    this.#statefulSet = options.statefulSet;
    this.#namespace = options.namespace;
    this.#retryMs = options.retryMs ?? retryMsDefault;
    this.name = `StatefulSet ${options.namespace}/${options.statefulSet}`;
  }

  async list(): Promise<readonly Instance[]> {
    const count = replicasOf(await this.#read());
    return Array.from({ length: count }, (_, ordinal) => ({
      id: this.#idOf(ordinal),
      removable: ordinal === count - 1,
    }));
  }

  async add(instances: readonly Instance[]): Promise<string> {
    await this.#scale((now) => Math.max(now, instances.length + 1));
    return this.#idOf(instances.length);
  }

  async remove(id: string): Promise<void> {
    await this.#scale((now) => {
      const ordinal = Array.from({ length: now }, (_, i) => i).find((i) => this.#idOf(i) === id);
      // It is gone already.
      if (ordinal === undefined) return now;
      if (ordinal === now - 1) return ordinal;
      throw new Error(
        `${id} is not the last pod of ${this.name}: ${this.#idOf(now - 1)} would go in its place`,
      );
    });
  }

  #idOf(ordinal: number): string {
    return `${this.#statefulSet}-${ordinal}`;
  }

  /** Sets the number of pods to what `wanted` makes of the number there is, in as many tries as it takes. */
  async #scale(wanted: (now: number) => number): Promise<void> {
    const parameters = { name: this.#statefulSet, namespace: this.#namespace };
    for (let attempt = 1; ; attempt++) {
      const scale = await this.#read();
      const now = replicasOf(scale);
      const replicas = wanted(now);
      if (replicas === now) return;
      try {
        // With the resource version it was read with: a change in between is a conflict, and not overwritten.
        const body: V1Scale = { ...scale, spec: { ...scale.spec, replicas } };
        await this.#api.replaceNamespacedStatefulSetScale({ ...parameters, body }, this.#call);
        return;
      } catch (error) {
        // Whatever became of it: reading it again tells.
        if (!isPassing(error) || attempt >= triesMax) throw problemOf(error);
        await this.#rest(attempt);
      }
    }
  }

  async #read(): Promise<V1Scale> {
    const parameters = { name: this.#statefulSet, namespace: this.#namespace };
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#api.readNamespacedStatefulSetScale(parameters, this.#call);
      } catch (error) {
        if (!isPassing(error) || attempt >= triesMax) throw problemOf(error);
        await this.#rest(attempt);
      }
    }
  }

  async #rest(attempt: number): Promise<void> {
    await delay(this.#retryMs * 2 ** (attempt - 1));
  }
}

type ObservableMaker = new <T>(promise: Promise<T>) => Observable<T>;

/** Options of a call that is given up in time; by itself the client would wait for minutes. */
function limitedCall(Observable: ObservableMaker, timeoutMs: number): ConfigurationOptions {
  const limit = {
    pre: (context: RequestContext): Observable<RequestContext> => {
      context.setSignal(AbortSignal.timeout(timeoutMs));
      return new Observable(Promise.resolve(context));
    },
    post: (context: ResponseContext): Observable<ResponseContext> => new Observable(Promise.resolve(context)),
  };
  return { middleware: [limit], middlewareMergeStrategy: 'append' };
}

/** @throws Error when it is no number of pods. */
function replicasOf({ spec }: V1Scale): number {
  // The API leaves out a zero.
  const replicas = spec?.replicas ?? 0;
  if (!Number.isInteger(replicas) || replicas < 0 || replicas > replicasMax) {
    throw new Error(`the API server tells ${replicas} replicas`);
  }
  return replicas;
}

/** The status of an answer; undefined when there was none. */
function statusOf(error: unknown): number | undefined {
  const { code } = error as { readonly code?: unknown };
  // An exception of the platform has a small number there.
  return typeof code === 'number' && code >= 100 ? code : undefined;
}

/** Whether the same may go well a moment later: a conflict, too many requests, a server or a network in trouble. */
function isPassing(error: unknown): boolean {
  const status = statusOf(error);
  return status === undefined || status === 409 || status === 429 || status >= 500;
}

function problemOf(error: unknown): Error {
  const status = statusOf(error);
  if (status === undefined) {
    const { message, cause } = error as Error;
    const why = cause instanceof Error && cause.message !== '' ? `: ${cause.message}` : '';
    return new Error(`the API server cannot be reached: ${message}${why}`);
  }
  const advice = status === 403 ? '; the service account needs get and update on statefulsets/scale' : '';
  return new Error(`the API server answered ${status}${detailOf(error)}${advice}`);
}

/** What the server says of it, if it does. */
function detailOf(error: unknown): string {
  const { body } = error as { readonly body?: unknown };
  try {
    const status: unknown = typeof body === 'string' ? JSON.parse(body) : body;
    const { message } = (status ?? {}) as { readonly message?: unknown };
    return typeof message === 'string' && message !== '' ? ` (${message})` : '';
  } catch {
    return '';
  }
}
