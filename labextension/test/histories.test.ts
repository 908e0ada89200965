import assert from 'node:assert/strict';
import test, { mock } from 'node:test';

import type { Client, Event } from '@mlex/api';

import { Histories } from '../src/histories';
import { NOTHING, type Known } from '../src/known';
import type { Watched } from '../src/watched';

const event = (id: number): Event => ({
  id,
  time: '2026-01-01T00:00:00Z',
  subject: 'run-1',
  kind: 'metrics',
  values: { step: id, epoch: 1, loss: 1 / id }
});

/** What the panel knows, without a page to draw it on. */
function plain(): Watched<Known> {
  let current: Known = NOTHING;
  return {
    get: () => current,
    set: (change: Partial<Known>) => {
      current = { ...current, ...change };
    }
  } as unknown as Watched<Known>;
}

/** A server whose history is answered when the test says so. */
function server(): { client: Client; asked: number[]; answer: (events: Event[]) => void; fail: () => void } {
  const asked: number[] = [];
  let settle: [(events: Event[]) => void, (error: unknown) => void] = [() => undefined, () => undefined];
  const get = (_path: string, given: { query: { after: number } }): Promise<Event[]> => {
    asked.push(given.query.after);
    return new Promise((resolve, reject) => (settle = [resolve, reject]));
  };
  return {
    client: { get } as unknown as Client,
    asked,
    answer: events => settle[0](events),
    fail: () => settle[1](new TypeError('the network is gone'))
  };
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

test('what happens while the history is on its way is neither lost nor told twice', async () => {
  const known = plain();
  const { client, answer } = server();
  const histories = new Histories(client, known);
  histories.watch('run-1');
  histories.take([event(4), event(5)]);
  answer([event(1), event(2), event(3), event(4)]);
  await turn();
  histories.take([event(6)]);
  assert.deepEqual(known.get().curves['run-1']?.steps, [1, 2, 3, 4, 5, 6]);
});

test('a long history is read page by page, each after the last', async () => {
  const known = plain();
  const { client, asked, answer } = server();
  new Histories(client, known).watch('run-1');
  answer(Array.from({ length: 10_000 }, (_, i) => event(i + 1)));
  await turn();
  answer([event(10_001)]);
  await turn();
  assert.deepEqual(asked, [0, 10_000]);
  assert.equal(known.get().curves['run-1']?.steps.length, 10_001);
});

test('a history that could not be read says why, and is asked for again', async () => {
  const known = plain();
  const { client, asked, answer, fail } = server();
  const histories = new Histories(client, known);
  histories.watch('run-1');
  fail();
  await turn();
  assert.match(known.get().curves['run-1']?.problem?.message ?? '', /cannot be reached/);
  histories.refill();
  histories.refill();
  assert.equal(asked.length, 2);
  answer([event(1)]);
  await turn();
  assert.deepEqual(known.get().curves['run-1']?.steps, [1]);
  assert.equal(known.get().curves['run-1']?.problem, null);
});

test('one failed request is made again by itself, ever more slowly, and what happened meanwhile is there', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const known = plain();
  const { client, asked, answer, fail } = server();
  const histories = new Histories(client, known);
  histories.watch('run-1');
  answer(Array.from({ length: 10_000 }, (_, i) => event(i + 1)));
  await turn();
  fail();
  await turn();
  histories.take([event(10_002)]);
  mock.timers.tick(1000);
  fail();
  await turn();
  mock.timers.tick(1000);
  assert.deepEqual(asked, [0, 10_000, 10_000]);
  mock.timers.tick(1000);
  assert.deepEqual(asked, [0, 10_000, 10_000, 10_000]);
  answer([event(10_001)]);
  await turn();
  assert.equal(known.get().curves['run-1']?.steps.length, 10_002);
  assert.equal(known.get().curves['run-1']?.problem, null);
  mock.timers.reset();
});

test('what another home answers late is not shown', async () => {
  const known = plain();
  const { client, answer } = server();
  const histories = new Histories(client, known);
  histories.watch('run-1');
  histories.clear();
  answer([event(1)]);
  await turn();
  assert.deepEqual(known.get().curves, {});
});
