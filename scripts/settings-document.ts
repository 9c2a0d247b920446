/**
 * The tables of settings in docs/operations.md and docs/autoscaling.md, made from the settings themselves, so that
 * they cannot say what the code does not. `npm run settings:doc` writes them; a test checks that it was run.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AUTOSCALE_SETTINGS } from '../src/main/autoscale/settings.ts';
import { SETTINGS } from '../src/main/config-schema.ts';

const begin = '<!-- settings: made by npm run settings:doc -->';
const end = '<!-- end of settings -->';

/** A document as it stands, and as it should. */
export interface SettingsDocument {
  readonly file: string;
  readonly now: string;
  readonly wanted: string;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function settingsTable(): string {
  const rows = SETTINGS.map((setting) => {
    const fallback = cell(String(setting.fallback ?? ''));
    return `| \`${setting.path}\` | ${fallback} | ${setting.description} | ${cell(setting.expected)} |`;
  });
  return ['| Setting | Default | Meaning | Values |', '|---|---|---|---|', ...rows].join('\n');
}

function autoscaleTable(): string {
  const rows = AUTOSCALE_SETTINGS.map(
    ({ name, flag, fallback, description, expected }) =>
      `| \`${name}\` | \`--${flag}\` | ${fallback} | ${cell(description)} | ${cell(expected)} |`,
  );
  return ['| Setting | Flag | Default | Meaning | Values |', '|---|---|---|---|---|', ...rows].join('\n');
}

function documentOf(name: string, table: string): SettingsDocument {
  const file = fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
  const now = readFileSync(file, 'utf8');
  const from = now.indexOf(begin);
  const to = now.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/${name} lacks the marks ${begin} and ${end}`);
  return { file, now, wanted: `${now.slice(0, from + begin.length)}\n\n${table}\n\n${now.slice(to)}` };
}

export function operationsDocument(): SettingsDocument {
  return documentOf('operations.md', settingsTable());
}

export function autoscalingDocument(): SettingsDocument {
  return documentOf('autoscaling.md', autoscaleTable());
}

if (import.meta.main) {
  for (const { file, wanted } of [operationsDocument(), autoscalingDocument()]) {
    writeFileSync(file, wanted);
    process.stdout.write(`wrote ${file}\n`);
  }
}
