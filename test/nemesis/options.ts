/** The command line of the nemesis. */

import { parseArgs } from 'node:util';

export type FaultClass = 'kill' | 'freeze' | 'cut' | 'disk';

export const FAULT_CLASSES: readonly FaultClass[] = ['kill', 'freeze', 'cut', 'disk'];

export interface NemesisOptions {
  /** The whole run, final reads not counted. */
  readonly minutes: number;
  readonly nodes: number;
  readonly seed: number;
  readonly faults: readonly FaultClass[];
  /** Requests a second of all clients together. */
  readonly rate: number;
  /** Where to write the picture and the figures. */
  readonly html: string | undefined;
  readonly json: string | undefined;
  /** Policy of the keys that are judged as registers. */
  readonly strictPolicy: string;
  readonly quiet: boolean;
  /** Keep data and logs of the nodes. */
  readonly keep: boolean;
}

export const USAGE: string = `npm run nemesis -- [options]

Starts a cluster of real processes, puts it under load, does it harm, heals it, and checks every answer.

  --minutes M       length of the run (default 2; at least 0.5)
  --nodes 3|5       size of the cluster (default 3)
  --seed S          the same seed draws the same faults (default: drawn)
  --faults LIST     of ${FAULT_CLASSES.join(',')} (default: all)
  --rate R          requests a second (default 300)
  --html FILE       write the picture
  --json FILE       write the figures
  --strict-policy P policy of the keys judged as linearizable registers (default PC/EC; with PA/EL the
                    nemesis must find them broken)
  --keep            keep data and logs of the nodes
  --quiet           only the verdict

Exit code: 0 every promise was kept; 1 one was broken; 2 the command line cannot be used.`;

export class UsageError extends Error {}

/** Reads the command line. @throws UsageError with what is wrong */
export function readOptions(argv: readonly string[]): NemesisOptions | 'help' {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  let values: ReturnType<typeof parse>;
  const parse = () =>
    parseArgs({
      args: [...argv],
      options: {
        minutes: text,
        nodes: text,
        seed: text,
        faults: text,
        rate: text,
        html: text,
        json: text,
        'strict-policy': text,
        quiet: flag,
        keep: flag,
        help: flag,
      },
    }).values;
  try {
    values = parse();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return 'help';
  const number = (name: string, value: string | undefined, otherwise: number, min: number, max: number) => {
    if (value === undefined) return otherwise;
    const read = Number(value);
    if (!(read >= min && read <= max)) {
      throw new UsageError(`--${name} expects a number from ${min} to ${max}; found ${value}`);
    }
    return read;
  };
  const nodes = number('nodes', values.nodes, 3, 3, 5);
  if (nodes !== 3 && nodes !== 5) throw new UsageError(`--nodes expects 3 or 5; found ${values.nodes}`);
  const seed = number('seed', values.seed, Math.floor(Math.random() * 1_000_000), 0, 2 ** 48);
  return {
    minutes: number('minutes', values.minutes, 2, 0.5, 120),
    nodes,
    seed: Math.floor(seed),
    faults: readFaults(values.faults),
    rate: number('rate', values.rate, 300, 10, 20_000),
    html: values.html,
    json: values.json,
    strictPolicy: values['strict-policy'] ?? 'PC/EC',
    quiet: values.quiet,
    keep: values.keep,
  };
}

function readFaults(text: string | undefined): readonly FaultClass[] {
  if (text === undefined) return FAULT_CLASSES;
  return text.split(',').map((word) => {
    const found = FAULT_CLASSES.find((each) => each === word.trim());
    if (found === undefined) {
      throw new UsageError(`--faults expects a list of ${FAULT_CLASSES.join(', ')}; found ${word}`);
    }
    return found;
  });
}
