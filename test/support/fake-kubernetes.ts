/**
 * A make-believe API server of Kubernetes: the `scale` of one StatefulSet, with resource versions as the real one
 * has them, and faults on demand. It stands on loopback and speaks plain HTTP.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';

/** What the next request meets. `lost`: it is done, and the connection is cut before the answer. */
export type Fault = number | 'cut' | 'lost' | 'silent';

export class FakeKubernetes {
  replicas: number;
  version = 1;
  /** Taken by the requests to come, one each. */
  readonly faults: (Fault | undefined)[] = [];
  /** `GET`, `PUT 4`, with ` 409` and the like where it failed. */
  readonly calls: string[] = [];
  /** Runs before a PUT is looked at: somebody else's doing. */
  meddle: (() => void) | undefined;
  readonly path: string;
  readonly #server: Server;

  private constructor(replicas: number, path: string) {
    this.replicas = replicas;
    this.path = path;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(replicas: number, namespace = 'shop', name = 'dure'): Promise<FakeKubernetes> {
    const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}/scale`;
    const fake = new FakeKubernetes(replicas, path);
    await new Promise<void>((done) => fake.#server.listen(0, '127.0.0.1', done));
    return fake;
  }

  get config(): KubeConfig {
    const { port } = this.#server.address() as AddressInfo;
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: 'fake', server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
      { name: 'dure', token: 'secret' },
    );
    return config;
  }

  /** Somebody else sets the number. */
  set(replicas: number): void {
    this.replicas = replicas;
    this.version++;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const { method = '', url = '', headers } = request;
    const fault = this.faults.shift();
    if (fault === 'silent') return;
    if (fault === 'cut') {
      this.calls.push(`${method} cut`);
      request.socket.destroy();
      return;
    }
    if (typeof fault === 'number') return this.#refuse(request, response, fault, 'a fault of the test');
    if (headers.authorization !== 'Bearer secret') return this.#refuse(request, response, 401, 'who are you');
    if (url !== this.path) return this.#refuse(request, response, 404, `${url} not found`);
    if (method === 'PUT' && !this.#put(request, response, text)) return;
    if (method === 'GET') this.calls.push('GET');
    if (fault === 'lost') {
      request.socket.destroy();
      return;
    }
    answer(response, 200, this.#scale());
  }

  #put(request: IncomingMessage, response: ServerResponse, text: string): boolean {
    this.meddle?.();
    this.meddle = undefined;
    const body = JSON.parse(text) as {
      metadata: { resourceVersion?: string };
      spec: { replicas: number };
    };
    if (body.metadata.resourceVersion !== String(this.version)) {
      this.#refuse(request, response, 409, 'the object has been modified');
      return false;
    }
    this.set(body.spec.replicas);
    this.calls.push(`PUT ${this.replicas}`);
    return true;
  }

  #refuse({ method }: IncomingMessage, response: ServerResponse, code: number, message: string): void {
    this.calls.push(`${method} ${code}`);
    answer(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code });
  }

  #scale(): object {
    const [, , , , , namespace, , name] = this.path.split('/');
    return {
      kind: 'Scale',
      apiVersion: 'autoscaling/v1',
      metadata: { name, namespace, resourceVersion: String(this.version) },
      // As the real one does: a zero is left out.
      spec: this.replicas === 0 ? {} : { replicas: this.replicas },
      status: { replicas: this.replicas, selector: 'app=dure' },
    };
  }
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
