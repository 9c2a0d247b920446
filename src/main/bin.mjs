#!/usr/bin/env node
/**
 * The `dure` command. Plain JavaScript, so that a Node.js that is too old to read TypeScript can still
 * say so; it hands over to the Node.js that npm installed with this package where there is one.
 */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
// In a checkout the sources are run; the package holds what was built of them.
const source = new URL('./cli.ts', import.meta.url);
const url = existsSync(source) ? source : new URL('../../dist/src/main/cli.js', import.meta.url);
const cli = fileURLToPath(url);

if (major > 22 || (major === 22 && minor >= 18)) {
  // Each by its name: the second is what the manifest says of this package's own built files.
  if (url === source) await import('./cli.ts');
  else await import('dure/cli');
} else {
  const pinned = ['../../node_modules/node/bin/node', '../../../node/bin/node']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
  if (pinned === undefined) {
    process.stderr.write(
      `dure: Node.js ${process.versions.node} is too old: 24 is recommended, 22.18 the oldest that works.\n` +
        'Install a newer one; or run "npm ci" in a checkout of Dure, "npm install node@24" in another project:\n' +
        'dure finds the Node.js that either brings.\n',
    );
    process.exitCode = 1;
  } else {
    // The channel tells the other process when this one is gone, even by kill -9.
    const child = spawn(pinned, [cli, ...process.argv.slice(2)], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    });
    for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    // Ctrl-C reaches the whole group by itself: only stay until the other is done.
    process.on('SIGINT', () => {});
    child.on('exit', (code, signal) => {
      process.exitCode = signal === null ? (code ?? 1) : 1;
    });
  }
}
