/**
 * `npm run commands:doc`: writes docs/commands.md from the command table. A test checks that it was run.
 */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { commandsDocument } from './commands-document.ts';

const file = fileURLToPath(new URL('../docs/commands.md', import.meta.url));
writeFileSync(file, commandsDocument());
process.stdout.write(`wrote ${file}\n`);
