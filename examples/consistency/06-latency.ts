/**
 * The other half of PACELC: without any fault, consistency costs waiting. Every link is made slow, as between data
 * centres, and the presets are timed.
 *
 * `npx node examples/consistency/06-latency.ts`
 */

import { Lab } from '../../test/nemesis/lab.ts';
import type { Answer } from '../../test/nemesis/terminal.ts';

/** One way, milliseconds. */
const linkMs = 40;
const repeats = 15;

/** The presets, with what their numbers are, and two by number. */
const policies: readonly (readonly [policy: string, r: number, w: number])[] = [
  ['PA/EL', 1, 1],
  ['PA/EC', 2, 2],
  ['PC/EL', 1, 2],
  ['PC/EC', 2, 2],
  ['R=1 W=3 SLOPPY', 1, 3],
  ['R=1 W=3 STRICT', 1, 3],
];

await Lab.run({}, async (lab) => {
  lab.say(`From now on what one node sends to another arrives ${linkMs} ms later, so a question and its answer
    take ${2 * linkMs} ms. The client sits beside n1, which has a replica of the key. The quickest and the median of
    ${repeats} requests:`);
  for (const from of [1, 2, 3]) {
    for (const to of [1, 2, 3]) if (from !== to) lab.slow(from, to, linkMs);
  }
  lab.show('');
  lab.show('policy          N,R,W   write: best   median   read: best   median');
  for (const [policy, r, w] of policies) {
    const write = await timed((i) => lab.ask(1, ...`DURE.WITH ${policy} DO SET key ${i}`.split(' ')));
    const read = await timed(() => lab.ask(1, ...`DURE.WITH ${policy} DO GET key`.split(' ')));
    const times = [write.best, write.median, read.best, read.median].map(ms);
    lab.show(`${policy.padEnd(14)}  3,${r},${w}   ${times.join('   ')}`);
  }
  lab.say(`EL: one replica is enough, and n1 is one. EC: one other node is asked, one round trip. A strict write with
    R+W>N first asks for the newest stamp, and then writes: two round trips. R=1 W=3 STRICT sees to it that
    all three replicas hold what a read answers, so its reads wait too.`);
});

interface Times {
  readonly best: number;
  readonly median: number;
}

async function timed(request: (i: number) => Promise<Answer>): Promise<Times> {
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const { code, text, tookMs } = await request(i);
    if (code !== '') throw new Error(text);
    times.push(tookMs);
  }
  times.sort((a, b) => a - b);
  return { best: times[0]!, median: times[repeats >> 1]! };
}

function ms(time: number): string {
  return `${time.toFixed(0)} ms`.padStart(9);
}
