/** Asks the HTTP door of a node. */

import { Agent, get } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 4 });

export interface JsonAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** GET of a page of JSON; undefined when there is no answer in time. */
export function getJson(port: number, path: string, timeoutMs: number): Promise<JsonAnswer | undefined> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path, agent, timeout: timeoutMs }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('error', () => resolve(undefined));
      response.on('end', () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
        } catch {
          resolve({ status: response.statusCode ?? 0, body: undefined });
        }
      });
    });
    // An answer that begins and never ends is none either.
    const late = setTimeout(() => request.destroy(), timeoutMs);
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
    request.on('close', () => {
      clearTimeout(late);
      resolve(undefined);
    });
  });
}

/** Closes idle connections. */
export function closeHttp(): void {
  agent.destroy();
}
