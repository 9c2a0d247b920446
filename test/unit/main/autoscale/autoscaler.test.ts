/** The autoscaler from look to deed, on machines that are made up: whom it starts, lets leave, waits for, and what it says. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Controller } from '../../../../src/autoscale/controller.ts';
import type { Decision } from '../../../../src/autoscale/decision-log.ts';
import { AUTOSCALE_DEFAULTS, type AutoscaleSettings } from '../../../../src/autoscale/settings.ts';
import { Autoscaler, type Deed } from '../../../../src/main/autoscale/autoscaler.ts';
import { kubernetesProvisioner } from '../../../../src/main/autoscale/kubernetes.ts';
import type { Instance, Provisioner } from '../../../../src/main/autoscale/provisioner.ts';
import { FakeKubernetes } from '../../../support/fake-kubernetes.ts';
import { FakeTopology } from '../../../support/fake-topology.ts';

const settings: AutoscaleSettings = {
  ...AUTOSCALE_DEFAULTS,
  operationsTarget: 1000,
  cpuTarget: 0,
  growAfterMs: 3000,
  shrinkAfterMs: 5000,
  coolDownMs: 4000,
};

const stepMs = 1000;

/** Machines that are there as soon as they are asked for. */
class FakeProvisioner implements Provisioner {
  readonly name = 'fake machines';
  readonly ids: string[];
  failure: string | undefined;
  readonly deeds: string[] = [];

  constructor(ids: readonly string[]) {
    this.ids = [...ids];
  }

  list(): Promise<readonly Instance[]> {
    if (this.failure !== undefined) return Promise.reject(new Error(this.failure));
    return Promise.resolve(this.ids.map((id) => ({ id, removable: true })));
  }

  add(instances: readonly Instance[]): Promise<string> {
    const id = `n${instances.length + 1}`;
    this.ids.push(id);
    this.deeds.push(`add ${id}`);
    return Promise.resolve(id);
  }

  remove(id: string): Promise<void> {
    this.ids.splice(this.ids.indexOf(id), 1);
    this.deeds.push(`remove ${id}`);
    return Promise.resolve();
  }
}

/** An autoscaler and all it stands on; `look` passes a second and looks. */
class Stage {
  readonly topology: FakeTopology;
  readonly decisions: Decision[] = [];
  readonly deeds: Deed[] = [];
  autoscaler: Autoscaler;
  readonly #provisioner: Provisioner | undefined;
  readonly #dryRun: boolean;
  #now = 0;

  constructor(ids: readonly string[], provisioner: Provisioner | undefined, dryRun = false) {
    this.topology = new FakeTopology(ids);
    this.#provisioner = provisioner;
    this.#dryRun = dryRun;
    this.autoscaler = this.#make();
  }

  #make(): Autoscaler {
    return new Autoscaler({
      controller: new Controller(settings),
      lookout: this.topology,
      provisioner: this.#provisioner,
      dryRun: this.#dryRun,
      intervalMs: stepMs,
      onDecision: (decision) => this.decisions.push(decision),
      onDeed: (deed) => this.deeds.push(deed),
      now: () => this.#now,
    });
  }

  /** The process is ended and started again. */
  restart(): void {
    this.autoscaler = this.#make();
  }

  async look(times = 1): Promise<Decision> {
    let decision: Decision | undefined;
    for (let i = 0; i < times; i++) {
      this.#now += stepMs;
      this.topology.pass(stepMs);
      decision = await this.autoscaler.cycle();
    }
    return decision!;
  }
}

const three = ['n1', 'n2', 'n3'];

describe('the autoscaler', () => {
  test('grows, waits for the new node, and grows again only after the cool-down', async () => {
    const machines = new FakeProvisioner(three);
    const stage = new Stage(three, machines);
    stage.topology.load = 6000;
    await stage.look(5);
    assert.deepEqual(machines.deeds, ['add n4']);
    const waiting = await stage.look(20);
    assert.equal(waiting.reason, 'waiting for n4 to join');
    stage.topology.begin('join', ['n4']);
    const copying = await stage.look();
    assert.match(copying.reason, /^join of n4: phase copy, begun .* ago, 5 of 20 partitions moved$/);
    stage.topology.advance();
    await stage.look();
    stage.topology.advance();
    await stage.look(4);
    assert.deepEqual(machines.deeds, ['add n4']);
    await stage.look(1);
    assert.deepEqual(machines.deeds, ['add n4', 'add n5']);
    assert.deepEqual(
      stage.decisions.map(({ action, code }) => (action === 'hold' ? code : action)),
      ['unknown', 'above', 'grow', 'under-way', 'under-way', 'under-way', 'cooling-down', 'grow'],
    );
  });

  test('shrinks: asks the node to leave, waits, takes its process away', async () => {
    const machines = new FakeProvisioner([...three, 'n4']);
    const stage = new Stage([...three, 'n4'], machines);
    await stage.look(7);
    assert.deepEqual(stage.topology.leaves, ['n4']);
    await stage.look(3);
    stage.topology.advance();
    await stage.look(3);
    assert.deepEqual(machines.deeds, []);
    stage.topology.advance();
    await stage.look(3);
    assert.deepEqual(machines.deeds, ['remove n4']);
    assert.deepEqual(stage.topology.leaves, ['n4']);
    assert.deepEqual(stage.topology.members, three);
  });

  test('a dry run says what it would do, and does nothing', async () => {
    const machines = new FakeProvisioner(three);
    const stage = new Stage(three, machines, true);
    stage.topology.load = 6000;
    await stage.look(30);
    assert.deepEqual(machines.deeds, []);
    assert.ok(stage.decisions.some(({ action }) => action === 'grow'));
    const looking = new Stage([...three, 'n4'], undefined);
    await looking.look(30);
    assert.ok(looking.decisions.some(({ action, node }) => action === 'shrink' && node === 'n4'));
    assert.deepEqual(looking.topology.leaves, []);
  });

  test('holds while a member is away, a provisioner does not answer, or nobody does', async () => {
    const machines = new FakeProvisioner(three);
    const stage = new Stage(three, machines);
    stage.topology.load = 6000;
    stage.topology.down.add('n2');
    assert.match((await stage.look(10)).reason, /a change would wait for n2, which cannot be reached/);
    stage.topology.down.clear();
    machines.failure = 'out of order';
    assert.equal((await stage.look(10)).reason, 'fake machines: out of order');
    stage.topology.dark = true;
    const dark = await stage.look(10);
    assert.equal(dark.code, 'unknown');
    assert.match(dark.reason, /no node tells the topology: 127\.0\.0\.1:1: nothing listens there/);
    assert.deepEqual(machines.deeds, []);
  });

  test('what cannot be begun is told, and tried again', async () => {
    const machines = new FakeProvisioner([...three, 'n4']);
    const stage = new Stage([...three, 'n4'], machines);
    let refusals = 1;
    const leave = stage.topology.leave.bind(stage.topology);
    stage.topology.leave = (id) => (refusals-- > 0 ? Promise.reject(new Error('too busy')) : leave(id));
    await stage.look(7);
    assert.deepEqual(stage.deeds, [{ action: 'leave', node: 'n4', error: 'too busy' }]);
    assert.match((await stage.look()).reason, /leave n4 failed: too busy/);
    await stage.look(8);
    assert.deepEqual(stage.topology.leaves, ['n4']);
  });

  test('started again in the middle of a change, it goes on with it', async () => {
    const machines = new FakeProvisioner([...three, 'n4']);
    const stage = new Stage([...three, 'n4'], machines);
    await stage.look(7);
    assert.deepEqual(stage.topology.leaves, ['n4']);
    stage.restart();
    await stage.look(10);
    stage.topology.advance();
    stage.topology.advance();
    stage.restart();
    await stage.look();
    assert.deepEqual(machines.deeds, ['remove n4']);
    await stage.look(20);
    assert.deepEqual(stage.topology.leaves, ['n4']);
    assert.deepEqual(machines.ids, three);
  });

  test('one that an operator let go is not taken for one that is coming', async () => {
    const machines = new FakeProvisioner([...three, 'n4']);
    const stage = new Stage([...three, 'n4'], machines);
    machines.list = () => Promise.resolve(machines.ids.map((id) => ({ id, removable: id === 'n4' })));
    stage.topology.load = 3500;
    stage.topology.begin('leave', ['n2']);
    stage.topology.advance();
    stage.topology.advance();
    // n2 is not the last: its machine stays. The load is for four, and there are three.
    await stage.look(20);
    assert.deepEqual(machines.deeds, ['add n5']);
  });
});

describe('the autoscaler on Kubernetes', () => {
  const pods = ['dure-0', 'dure-1', 'dure-2'];

  async function stageOn(count: number): Promise<{ stage: Stage; server: FakeKubernetes }> {
    const server = await FakeKubernetes.start(count);
    const { config } = server;
    const provisioner = await kubernetesProvisioner({
      statefulSet: 'dure',
      namespace: 'shop',
      config,
      retryMs: 1,
    });
    return { stage: new Stage([...pods, 'dure-3'].slice(0, count), provisioner), server };
  }

  test('a pod more joins by itself; the last one leaves and is taken away', async () => {
    const { stage, server } = await stageOn(3);
    try {
      stage.topology.load = 6000;
      await stage.look(20);
      assert.equal(server.replicas, 4);
      stage.topology.begin('join', ['dure-3']);
      stage.topology.advance();
      stage.topology.advance();
      stage.topology.load = 0;
      await stage.look(12);
      assert.deepEqual(stage.topology.leaves, ['dure-3']);
      assert.equal(server.replicas, 4);
      stage.topology.advance();
      stage.topology.advance();
      await stage.look();
      assert.equal(server.replicas, 3);
      // The pod of the same name that is asked for next is not the one that left.
      stage.topology.load = 6000;
      await stage.look(20);
      assert.equal(server.replicas, 4);
      assert.equal((await stage.look()).reason, 'waiting for dure-3 to join');
      const puts = server.calls.filter((call) => call !== 'GET');
      assert.deepEqual(puts, ['PUT 4', 'PUT 3', 'PUT 4']);
    } finally {
      await server.close();
    }
  });

  test('ended between leaving and scaling down, it scales down when it is back', async () => {
    const { stage, server } = await stageOn(4);
    try {
      await stage.look(7);
      assert.deepEqual(stage.topology.leaves, ['dure-3']);
      stage.topology.advance();
      stage.topology.advance();
      stage.restart();
      // The first tries meet a server in trouble.
      server.faults.push(undefined, undefined, 503, undefined, 'lost');
      await stage.look(2);
      assert.equal(server.replicas, 3);
      await stage.look(20);
      assert.equal(server.replicas, 3);
      assert.deepEqual(stage.topology.leaves, ['dure-3']);
    } finally {
      await server.close();
    }
  });
});
