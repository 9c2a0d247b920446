/**
 * Who may speak to the HTTP door: the checks that keep a web page in somebody's browser from using a node that
 * listens on loopback.
 *
 * - **Host**: DNS rebinding makes a name of the attacker point to this machine; the browser then takes the node
 *   for the attacker's own site. But it still says that name in `Host`. So only names of this node are answered:
 *   loopback names, IP addresses as such (no name was resolved, so none was rebound), the hosts of the members,
 *   and those of `http.hosts`.
 * - **Origin**: a page of another site may send requests, even if it cannot read the answers. Browsers say whose
 *   page it is, by `Origin` or `Sec-Fetch-Site`; only those of this node itself or of `http.origins` are served.
 *   There are no CORS headers, and no cookies.
 * - **Password**, where the cluster has one: `Authorization: Bearer` or `Basic`. `WWW-Authenticate` names only
 *   Bearer, since a browser that asks for a Basic password sends it along from then on, whoever's page it shows.
 */

import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { Problem } from './problem.ts';

/** What the password is compared by, in constant time; `src/server/password.ts` has it. */
export interface PasswordCheck {
  matches(guess: Uint8Array): boolean;
}

export interface GuardOptions {
  /** Names by which this node is called, beside loopback and IP addresses. Without ports. */
  readonly hosts: readonly string[];
  /** The hosts of the members now: names of this node too, for a proxy may ask any of them. */
  readonly memberHosts: () => readonly string[];
  /** Other sites whose pages may send requests: `https://admin.example`. */
  readonly origins: readonly string[];
  readonly password: PasswordCheck | undefined;
}

const loopbackNames = ['localhost', 'ip6-localhost', 'ip6-loopback'];

/** The name in a `Host` header, in small letters and without port and brackets; undefined for nonsense. */
function nameOf(host: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '');
}

export class Guard {
  readonly #hosts: ReadonlySet<string>;
  readonly #memberHosts: () => readonly string[];
  readonly #origins: ReadonlySet<string>;
  readonly #password: PasswordCheck | undefined;

  constructor(options: GuardOptions) {
    this.#hosts = new Set([...loopbackNames, ...options.hosts.map((host) => host.toLowerCase())]);
    this.#memberHosts = options.memberHosts;
    this.#origins = new Set(options.origins.map((origin) => origin.toLowerCase()));
    this.#password = options.password;
  }

  /**
   * @param host the name in the address itself, where it has one: it counts instead of the header
   * @throws Problem `host-refused` or `origin-refused`
   */
  checkSite(headers: IncomingHttpHeaders, host: string = headers.host ?? ''): void {
    const name = nameOf(host);
    if (name === undefined || (isIP(name) === 0 && !this.#isOwn(name))) {
      throw new Problem(
        'host-refused',
        `"${host.slice(0, 100)}" is not a name of this node; add it to http.hosts if it is one; nothing was done`,
      );
    }
    const { origin } = headers;
    const site = headers['sec-fetch-site'];
    if (origin === undefined && site !== 'cross-site' && site !== 'same-site') return;
    if (origin !== undefined && this.#origins.has(origin.toLowerCase())) return;
    if (origin !== undefined && /^https?:\/\//i.test(origin)) {
      if (origin.replace(/^https?:\/\//i, '').toLowerCase() === host.toLowerCase()) return;
    }
    throw new Problem(
      'origin-refused',
      'this request comes from a page of another site; add it to http.origins to allow it; nothing was done',
    );
  }

  #isOwn(name: string): boolean {
    if (this.#hosts.has(name) || name.endsWith('.localhost')) return true;
    return this.#memberHosts().some((host) => host.toLowerCase() === name);
  }

  /** @throws Problem `unauthorized` */
  checkPassword(headers: IncomingHttpHeaders): void {
    const password = this.#password;
    if (password === undefined) return;
    const guess = guessOf(headers.authorization ?? '');
    if (guess !== undefined && password.matches(guess)) return;
    const words = 'send the password of the cluster as Authorization: Bearer, or Basic; nothing was done';
    throw new Problem('unauthorized', words, 'none', { 'www-authenticate': 'Bearer realm="dure"' });
  }
}

/** The user of the RESP door, which may also be left empty here. */
const user = 'default';

function guessOf(authorization: string): Uint8Array | undefined {
  const [, scheme = '', credentials = ''] = /^(\w+) +(.+)$/.exec(authorization) ?? [];
  if (scheme.toLowerCase() === 'bearer') return Buffer.from(credentials, 'latin1');
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const pair = Buffer.from(credentials, 'base64');
  const colon = pair.indexOf(0x3a);
  const name = pair.subarray(0, colon).toString();
  return colon >= 0 && (name === '' || name === user) ? pair.subarray(colon + 1) : undefined;
}
