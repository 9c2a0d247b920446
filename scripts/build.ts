/**
 * `npm run build`: the package as others install it, in `dist/`: JavaScript and types of `src/`, `client/` and
 * `embed/`, since Node.js strips no types below `node_modules`. Nothing in this checkout needs it: `npm start` and
 * `npm test` run the sources. `npm pack` builds by itself (`prepack`).
 */

import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
/** A relative import in a file of types; tsc puts JavaScript's ending into JavaScript only. */
const importOfSource = /((?:from|import\() ?['"]\.{1,2}\/[^'"]*)\.ts(['"])/g;

rmSync(dist, { recursive: true, force: true });
const compiler = join(root, 'node_modules', '.bin', 'tsc');
const { status, error } = spawnSync(compiler, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (error !== undefined) process.stderr.write(`build: ${error.message}\n`);
if (status === 0) {
  const files = globSync('**/*.d.ts', { cwd: dist });
  for (const file of files) {
    const path = join(dist, file);
    writeFileSync(path, readFileSync(path, 'utf8').replace(importOfSource, '$1.js$2'));
  }
  process.stderr.write(`build: ${files.length} modules in dist/\n`);
} else {
  rmSync(dist, { recursive: true, force: true });
  process.exitCode = 1;
}
