/**
 * `dure node …` and `dure ring` on the command line: their words, and what is checked before a node is asked.
 */

import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import type { TopologyMember } from '../topology/topology.ts';
import { addSeedOptions, endWithReader, type Given, seedOptionsOf } from './cli-options.ts';
import { EXIT } from './exit-codes.ts';
import type { NodeCommand } from './node-command.ts';

/** Whoever ended it with Ctrl-C. */
const exitInterrupted = 130;
/** From the Redis port of a node to that of its peers, and from there to that of HTTP, where nothing else is said. */
const portStep = 1000;

const goesOn =
  '\nThe change goes on without this command. "dure node watch" looks on again; "dure node cancel" gives it up while it copies.\n';

export function nodeCommand(): Command {
  return new Command('node')
    .description('take nodes in, let them go, see the members')
    .addCommand(listCommand())
    .addCommand(watchCommand())
    .addCommand(joinCommand())
    .addCommand(leaveCommand())
    .addCommand(removeCommand())
    .addCommand(replaceCommand())
    .addCommand(weightCommand())
    .addCommand(drainCommand())
    .addCommand(cancelCommand());
}

function seeing(name: string, description: string): Command {
  return addSeedOptions(new Command(name)).description(description).option('--json', 'for programs');
}

/** A command that changes something, and looks on. */
function changing(name: string, description: string): Command {
  return seeing(name, description).option(
    '--no-wait',
    'end as soon as the change is begun; it goes on by itself',
  );
}

async function change(command: NodeCommand, options: Given & { wait?: boolean }): Promise<void> {
  endWithReader();
  process.once('SIGINT', () => {
    process.stderr.write(goesOn);
    process.exit(exitInterrupted);
  });
  const { runNodeChange } = await import('./node-command.ts');
  const json = options.json === true;
  process.exitCode = await runNodeChange(command, {
    ...seedOptionsOf(options),
    json,
    noWait: options.wait === false,
  });
}

function listCommand(): Command {
  return seeing('list', 'the members, what each owns, and the change under way').action(
    async (options: Given) => {
      endWithReader();
      const { runNodeList } = await import('./node-command.ts');
      process.exitCode = await runNodeList({
        ...seedOptionsOf(options),
        json: options.json === true,
        noWait: true,
      });
    },
  );
}

function watchCommand(): Command {
  return seeing('watch', 'look on at the change under way, until it has ended').action(
    async (options: Given) => {
      endWithReader();
      const { runNodeWatch } = await import('./node-command.ts');
      process.exitCode = await runNodeWatch({
        ...seedOptionsOf(options),
        json: options.json === true,
        noWait: false,
      });
    },
  );
}

function addMemberOptions(command: Command): Command {
  return command
    .option('--host <host>', 'what clients and the other nodes dial', '127.0.0.1')
    .requiredOption('--peer-port <port>', 'its port for the other nodes')
    .option('--resp-port <port>', 'its port for Redis clients; 0: none (default: the peer port - 1000)')
    .option('--http-port <port>', 'its HTTP port; 0: none (default: the peer port + 1000)')
    .option('--zone <name>', 'what it fails together with: a host, a rack, a data centre', 'default')
    .option('--weight <number>', 'its share of the data, relative to the others', '1');
}

/** The member as the options say; undefined if they make none, and it was said why. */
function memberOf(id: string, options: Given): TopologyMember | undefined {
  const number = (name: string, value: unknown, least: number, most: number): number => {
    const text = String(value);
    const read = Number(text);
    if (/^\d+(\.\d+)?$/.test(text) && read >= least && read <= most) return read;
    throw new RangeError(`--${name} ${text}: expected a number from ${least} to ${most}`);
  };
  try {
    const peerPort = number('peer-port', options.peerPort, 1, 65_535);
    // As "dure start" chooses the ports of which nothing is said; a member that has others does not start.
    return {
      id,
      host: String(options.host),
      peerPort,
      respPort: number('resp-port', options.respPort ?? peerPort - portStep, 0, 65_535),
      httpPort: number('http-port', options.httpPort ?? peerPort + portStep, 0, 65_535),
      zone: String(options.zone),
      weight: number('weight', options.weight, 0.001, 1_000_000),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    process.stderr.write(`dure: ${error.message}\n`);
    process.exitCode = EXIT.config;
    return undefined;
  }
}

function joinCommand(): Command {
  return addMemberOptions(changing('join', 'take a node in'))
    .argument('<id>', 'of the new node')
    .addHelpText(
      'after',
      '\n"dure start --join http://HOST:PORT" starts a node that asks to be taken in by itself: then this command is\n' +
        'not needed. It is for those who want to say first, and start the process (with --join) afterwards.',
    )
    .action(async (id: string, options: Given) => {
      const member = memberOf(id, options);
      if (member !== undefined) await change({ kind: 'join', member }, options);
    });
}

function leaveCommand(): Command {
  return changing('leave', 'let a node go: it gives away what it holds, and its process ends')
    .argument('<id>', 'of the node')
    .action((id: string, options: Given) => change({ kind: 'leave', id }, options));
}

const removeWords =
  'What they held is rebuilt from the other replicas. Their processes must have ended for good: a node that is still\n' +
  'somewhere, unreached, might go on answering from what it holds.\n';
const forceWords =
  '--force goes on although a majority is lost: ONE node decides by itself. Use it once, at one node, when those\n' +
  'members will never come back. Acknowledged writes that only they held are lost.\n';

function removeCommand(): Command {
  return changing('remove', 'remove nodes that will not come back')
    .argument('<ids...>', 'of the nodes')
    .option('--yes', 'do not ask whether they are gone for good')
    .option('--force', 'most members are lost for good: one survivor decides by itself (read --help first)')
    .addHelpText('after', `\n${removeWords}\n${forceWords}`)
    .action(async (ids: string[], options: Given) => {
      const force = options.force === true;
      const words = `${removeWords}${force ? forceWords : ''}`;
      if (options.yes !== true && !(await isConfirmed(words, `Are ${ids.join(', ')} gone for good`))) return;
      await change({ kind: 'remove', ids, force }, options);
    });
}

/** Asks a person. Where there is none to ask, the answer is no, and it is said how to say yes. */
async function isConfirmed(words: string, question: string): Promise<boolean> {
  process.stderr.write(words);
  if (process.stdin.isTTY !== true) {
    process.stderr.write('dure: nothing was done: confirm with --yes\n');
    process.exitCode = EXIT.failed;
    return false;
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await reader.question(`${question}? (yes/no) `);
  reader.close();
  if (/^y(es)?$/i.test(answer.trim())) return true;
  process.stderr.write('Nothing was done.\n');
  process.exitCode = EXIT.failed;
  return false;
}

function replaceCommand(): Command {
  return addMemberOptions(
    changing('replace', 'give the place of a node that will not come back to a new one'),
  )
    .argument('<id>', 'of the node that is gone')
    .argument('<new-id>', 'of the new node, whose process is started with --join')
    .option('--yes', 'do not ask whether the node is gone for good')
    .action(async (id: string, newId: string, options: Given) => {
      const member = memberOf(newId, options);
      if (member === undefined) return;
      if (options.yes !== true && !(await isConfirmed(removeWords, `Is ${id} gone for good`))) return;
      await change({ kind: 'replace', id, member }, options);
    });
}

function weightCommand(): Command {
  return changing('weight', 'change the share of the data that a node holds')
    .argument('<id>', 'of the node')
    .argument('<weight>', 'relative to the others: 2 is twice what a node of weight 1 holds')
    .action(async (id: string, weight: string, options: Given) => {
      const value = Number(weight);
      if (!/^\d+(\.\d+)?$/.test(weight) || value < 0.001 || value > 1_000_000) {
        process.stderr.write(`dure: weight ${weight}: expected a number from 0.001 to 1000000\n`);
        process.exitCode = EXIT.config;
        return;
      }
      await change({ kind: 'weight', id, weight: value }, options);
    });
}

function drainCommand(): Command {
  return seeing('drain', 'stop using a node, before its process is stopped')
    .argument('<id>', 'of the node')
    .option('--grace <duration>', 'serve on for so long, while its health says that it is not ready', '0')
    .addHelpText(
      'after',
      '\nA process that gets SIGTERM drains by itself (limits.drainGraceMs). This command is for those who want to\n' +
        'know when it is done, or to give load balancers time.',
    )
    .action(async (id: string, options: Given) => {
      const { runNodeDrain } = await import('./node-drain.ts');
      const [grace, json] = [String(options.grace), options.json === true];
      process.exitCode = await runNodeDrain({ ...seedOptionsOf(options), id, grace, json });
    });
}

function cancelCommand(): Command {
  return changing('cancel', 'give up the change under way, while its data are being copied').action(
    (options: Given) => change({ kind: 'cancel' }, options),
  );
}

export function ringCommand(): Command {
  return seeing('ring', 'a picture of the ring: who owns what, and where a key lives')
    .argument('[key]', 'shows where it lives')
    .action(async (key: string | undefined, options: Given) => {
      endWithReader();
      const { runRing } = await import('./ring.ts');
      process.exitCode = await runRing({ ...seedOptionsOf(options), json: options.json === true, key });
    });
}
