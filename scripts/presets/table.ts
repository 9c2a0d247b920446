/** The measured behaviour of policies during and after a cut, as tables for docs/consistency.md. */

import { type Measured, type Outcome, POLICIES, SITUATIONS, type Situation } from './measure.ts';

/** What is seen after healing, in words, and what was acknowledged and is not seen. */
function healedText(outcome: Outcome, situation: Situation): string {
  const names = situation.sides.map((_, i) => `side ${i + 1}`);
  const seen = outcome.healed.split(' + ');
  const shown = seen.length > 1 ? `${seen.join(' and ')}, as siblings` : outcome.healed;
  const lost = names.filter((name, i) => outcome.sides[i]!.write === 'ok' && !seen.includes(name));
  return lost.length === 0 ? shown : `${shown}; ${lost.join(' and ')} lost: earlier`;
}

function codeText(outcome: string): string {
  return /^[A-Z]+$/.test(outcome) ? `\`${outcome}\`` : outcome;
}

/** One table a situation: policies down, sides across. */
function tableOf(measured: Measured, situation: Situation): string {
  const heads = situation.sides.flatMap((side, i) => {
    const nodes = side.map((node) => `n${node}`).join(' ');
    return [`side ${i + 1} (${nodes}): write`, 'read'];
  });
  const lines = [
    `| ${['Policy', ...heads, 'seen by all after healing'].join(' | ')} |`,
    `|${'---|'.repeat(heads.length + 2)}`,
  ];
  for (const policy of POLICIES) {
    const outcome = measured.get(policy)!.get(situation.name)!;
    const cells = outcome.sides.flatMap(({ write, read }) => [codeText(write), codeText(read)]);
    lines.push(`| ${[`\`${policy}\``, ...cells, healedText(outcome, situation)].join(' | ')} |`);
  }
  return lines.join('\n');
}

/** All tables, each under its heading. */
export function presetTables(measured: Measured): string {
  return SITUATIONS.map(
    (situation) => `**${situation.name.replaceAll('|', '\\|')}**\n\n${tableOf(measured, situation)}`,
  ).join('\n\n');
}
