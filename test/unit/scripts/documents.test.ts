/**
 * Documents against the tree: links lead somewhere, files that are named exist, decisions have a number each and are
 * listed, every script and every package has its word of explanation.
 */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const skipped = /^(?:node_modules|dist|\.git|\.dure|tmp)$/;

function filesBelow(directory: string): string[] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    if (skipped.test(entry.name)) return [];
    const name = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(name) : [name];
  });
}

const files = filesBelow('.');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const documents = files.filter((file) => file.endsWith('.md'));
const manifest = JSON.parse(read('package.json')) as Readonly<
  Record<'scripts' | 'dependencies' | 'devDependencies', Readonly<Record<string, string>>>
>;

/** What links of a document and names of files in it lead to nowhere. */
function lostIn(document: string, text: string): string[] {
  const here = dirname(document);
  const links = [...text.matchAll(/\]\((?!\w+:)([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, link]) => link!);
  const named = [...text.matchAll(/`([\w./-]+\.(?:ts|mjs|md|txt))`/g)].map(([, name]) => name!);
  return [
    ...links.filter((link) => !existsSync(join(root, here, link))),
    ...named.filter((name) => {
      const end = `/${name.replace(/^(?:\.\.?\/)+/, '')}`;
      return !files.some((file) => `/${file}`.endsWith(end));
    }),
  ];
}

describe('documents', () => {
  test('links and names of files lead somewhere', () => {
    assert.ok(documents.length > 25, `${documents.length} documents`);
    for (const document of documents) assert.deepEqual(lostIn(document, read(document)), [], document);
  });

  test('a link and a file that are not there are noticed', () => {
    const text = 'see [this](../nowhere.md#part), `src/base/bytes.ts` and `src/base/nothing.ts`';
    assert.deepEqual(lostIn('docs/x.md', text), ['../nowhere.md', 'src/base/nothing.ts']);
  });

  test('comments name documents that exist', () => {
    const sources = files.filter((file) => file.endsWith('.ts'));
    for (const source of sources) {
      for (const [, name] of read(source).matchAll(/\b(docs\/(?:decisions|design)\/[\w-]+\.md)/g)) {
        assert.ok(existsSync(join(root, name!)), `${source}: ${name}`);
      }
    }
  });

  test('decisions are numbered without gaps or doubles, say their number, are dated and listed', () => {
    const notes = documents.filter((file) => /^docs\/decisions\/\d/.test(file)).toSorted();
    const list = read('docs/decisions/README.md');
    assert.ok(notes.length > 16, `${notes.length} decisions`);
    for (const [i, note] of notes.entries()) {
      const number = String(i + 1).padStart(4, '0');
      assert.match(basename(note), new RegExp(`^${number}-`));
      assert.match(read(note), new RegExp(`^# ${number}: .+\n\n\\*?20\\d\\d-\\d\\d-\\d\\d`), note);
      assert.ok(list.includes(`[${number}](${basename(note)})`), `${note} is not in the list`);
    }
  });

  test('every script is told of, and every script told of is there', () => {
    const told = read('CONTRIBUTING.md') + read('README.md');
    for (const script of Object.keys(manifest.scripts)) {
      // Run by npm itself, or as a part of `check`.
      if (['prepack', 'lint', 'types'].includes(script)) continue;
      assert.match(told, new RegExp(`npm (?:run )?${script}\\b|npx ${script}\\b`), script);
    }
    for (const document of documents) {
      for (const [, script] of read(document).matchAll(/npm run ([\w:-]+)/g)) {
        assert.ok(script! in manifest.scripts, `${document}: npm run ${script}`);
      }
    }
  });

  test('every package has its reason', () => {
    const reasons = read('docs/decisions/0006-dependencies.md');
    for (const name of Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })) {
      const major = Number.parseInt(
        (manifest.dependencies[name] ?? manifest.devDependencies[name]!).replace(/^\D/, ''),
        10,
      );
      assert.match(reasons, new RegExp(`\\| [^|]*${name} ${major}\\b`), name);
    }
  });
});
