/** The provisioner of `dure dev`, and what its command line makes of the settings. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Command } from 'commander';
import { CrewProvisioner } from '../../../../src/main/autoscale/local.ts';
import { addAutoscaleSettings, localAutoscaleOf } from '../../../../src/main/cli-autoscale.ts';
import type { Crew, Hand } from '../../../../src/main/dev-crew.ts';

type FakeHand = { -readonly [K in keyof Hand]: Hand[K] };

/** A crew without processes. */
class FakeCrew {
  readonly #hands: FakeHand[] = [];
  isStopping = false;
  readonly settledIds: string[] = [];

  constructor(count: number) {
    for (let i = 0; i < count; i++) this.hire().isReady = true;
  }

  get hands(): readonly FakeHand[] {
    return this.#hands.filter(({ departed }) => departed === undefined);
  }

  hire(): FakeHand {
    const ended = Promise.withResolvers<void>();
    const hand = {
      node: { id: `n${this.#hands.length + 1}` },
      isReady: false,
      isGone: false,
      departed: undefined,
    };
    const whole = { ...hand, ended: ended.promise } as unknown as FakeHand;
    this.#hands.push(whole);
    return whole;
  }

  settledIn({ node }: Hand): void {
    this.settledIds.push(node.id);
  }
}

function provisionerOf(crew: FakeCrew): CrewProvisioner {
  return new CrewProvisioner(crew as unknown as Crew);
}

async function ids(provisioner: CrewProvisioner): Promise<string[]> {
  return (await provisioner.list()).map(({ id }) => id);
}

describe('the provisioner of dure dev', () => {
  test('hires one more, and asked again it is still one more', async () => {
    const crew = new FakeCrew(3);
    const provisioner = provisionerOf(crew);
    const before = await provisioner.list();
    assert.deepEqual(
      before.map(({ id }) => id),
      ['n1', 'n2', 'n3'],
    );
    assert.equal(await provisioner.add(before), 'n4');
    assert.equal(await provisioner.add(before), 'n4');
    assert.deepEqual(await ids(provisioner), ['n1', 'n2', 'n3', 'n4']);
    // n4 is started again if it falls over, until it is ready.
    assert.ok(!crew.settledIds.includes('n4'));
    crew.hands.at(-1)!.isReady = true;
    await provisioner.list();
    assert.ok(crew.settledIds.includes('n4'));
  });

  test('a newcomer that ended before it was ready is none; a member that ended stays one', async () => {
    const crew = new FakeCrew(3);
    const provisioner = provisionerOf(crew);
    crew.hire().isGone = true;
    crew.hands[0]!.isGone = true;
    assert.deepEqual(await ids(provisioner), ['n1', 'n2', 'n3']);
  });

  test('one that has left is gone by itself', async () => {
    const crew = new FakeCrew(3);
    const provisioner = provisionerOf(crew);
    crew.hands[2]!.ended = Promise.resolve();
    await provisioner.remove('n3');
    crew.hands[2]!.departed = 'left';
    assert.deepEqual(await ids(provisioner), ['n1', 'n2']);
    await provisioner.remove('n3');
  });

  test('nobody is hired while the cluster is being stopped', async () => {
    const crew = new FakeCrew(3);
    crew.isStopping = true;
    await assert.rejects(provisionerOf(crew).add([]), /being stopped/);
  });
});

describe('dure dev on the command line', () => {
  function parsed(...words: string[]): ReturnType<typeof localAutoscaleOf> {
    const command = new Command().option('--autoscale').option('--autoscale-dry-run');
    addAutoscaleSettings(command).parse(words, { from: 'user' });
    return localAutoscaleOf(command);
  }

  test('settings of the autoscaler', () => {
    assert.deepEqual(parsed(), { autoscale: undefined, problems: [] });
    const { autoscale } = parsed('--autoscale', '--nodes-max', '5', '--cool-down', '3s');
    assert.equal(autoscale!.dryRun, false);
    assert.deepEqual([autoscale!.config.nodesMax, autoscale!.config.coolDownMs], [5, 3000]);
    assert.equal(parsed('--autoscale-dry-run').autoscale!.dryRun, true);
    assert.deepEqual(parsed('--nodes-max', '5').problems, [
      { where: '--nodes-max', message: 'means something with --autoscale only' },
    ]);
    assert.match(parsed('--autoscale', '--nodes-max', 'x').problems[0]!.message, /expected a whole number/);
  });
});
