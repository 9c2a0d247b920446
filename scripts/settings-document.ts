/**
 * The table of settings in docs/operations.md, made from the settings themselves, so that it cannot
 * say what the code does not. `npm run settings:doc` writes it; a test checks that it was run.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SETTINGS } from '../src/main/config-schema.ts';

const file = fileURLToPath(new URL('../docs/operations.md', import.meta.url));
const begin = '<!-- settings: made by npm run settings:doc -->';
const end = '<!-- end of settings -->';

function settingsTable(): string {
  const rows = SETTINGS.map((setting) => {
    const fallback = String(setting.fallback ?? '').replaceAll('|', '\\|');
    return `| \`${setting.path}\` | ${fallback} | ${setting.description} | ${setting.expected.replaceAll('|', '\\|')} |`;
  });
  return ['| Setting | Default | Meaning | Values |', '|---|---|---|---|', ...rows].join('\n');
}

/** The document as it stands, and as it should. */
export function operationsDocument(): { readonly now: string; readonly wanted: string } {
  const now = readFileSync(file, 'utf8');
  const from = now.indexOf(begin);
  const to = now.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/operations.md lacks the marks ${begin} and ${end}`);
  return { now, wanted: `${now.slice(0, from + begin.length)}\n\n${settingsTable()}\n\n${now.slice(to)}` };
}

if (import.meta.main) {
  writeFileSync(file, operationsDocument().wanted);
  process.stdout.write(`wrote ${file}\n`);
}
