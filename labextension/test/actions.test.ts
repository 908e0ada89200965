import assert from 'node:assert/strict';
import test from 'node:test';

import { ProblemError, type Job, type Model, type ZooEntry } from '@mlex/api';

import { Actions } from '../src/actions';
import { choose } from '../src/choice';
import { NOTHING, type Known } from '../src/known';
import { freshScreen, type Screen } from '../src/screen';
import type { Server, Wish } from '../src/server';
import type { Watched } from '../src/watched';

const unet = {
  name: 'unet',
  params_schema: { properties: { epochs: { type: 'integer', default: 8 } } }
};
const pores: ZooEntry = { kind: 'model', name: 'pores', version: 2, architecture: 'unet' } as ZooEntry;
const seeds: ZooEntry = { kind: 'model', name: 'seeds', version: 1, architecture: 'unet' } as ZooEntry;
const KNOWN = {
  ...NOTHING,
  datasets: { value: [{ name: 'sand' }], problem: null },
  labels: { sand: [{ name: 'hand' }] },
  models: { value: [pores, seeds], problem: null },
  architectures: { value: [unet], problem: null },
  jobs: { value: [{ id: 'run-1', name: 'unet-07' }], problem: null }
} as unknown as Known;

/** A promise that the test settles. */
class Answer<T> {
  give!: (value: T) => void;
  refuse!: (error: unknown) => void;
  readonly promise = new Promise<T>((resolve, reject) => {
    this.give = resolve;
    this.refuse = reject;
  });
}

interface Scene {
  actions: Actions;
  screen: Watched<Screen>;
  submitted: { wish: Wish; key: string; answer: Answer<Job> }[];
  models: Map<string, Answer<Model>>;
}

function setUp(): Scene {
  const screen = freshScreen();
  const submitted: Scene['submitted'] = [];
  const models: Scene['models'] = new Map();
  const server = {
    known: { get: () => KNOWN },
    submit: (wish: Wish, key: string) => {
      const answer = new Answer<Job>();
      submitted.push({ wish, key, answer });
      return answer.promise;
    },
    model: (name: string) => {
      const answer = new Answer<Model>();
      models.set(name, answer);
      return answer.promise;
    }
  } as unknown as Server;
  const never = (): never => assert.fail('nobody is asked');
  const actions = new Actions(
    server,
    screen,
    { text: never, yes: never },
    { openRun: never, openRunMenu: never, openViewer: never, openTrain: never }
  );
  return { actions, screen, submitted, models };
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
const lost = new TypeError('Failed to fetch');

test('a name is sent only where one was typed; the proposal is the server’s to find', async () => {
  const { actions, screen, submitted } = setUp();
  assert.equal(choose(KNOWN, screen.get()).proposal, 'unet-08');
  void actions.train();
  assert.ok(!('name' in (submitted[0]?.wish ?? {})));
  submitted[0]?.answer.give({ id: 'run-2' } as Job);
  await turn();
  screen.set({ name: 'mine' });
  void actions.train();
  assert.equal(submitted[1]?.wish.name, 'mine');
  screen.set({ name: 'not a name' });
  assert.match(choose(KNOWN, screen.get()).missing ?? '', /may have letters/);
});

test('a double click is one job', async () => {
  const { actions, screen, submitted } = setUp();
  const job = { id: 'run-1', spec: { task: { kind: 'train', data: 'sand' } } } as Job;
  void actions.predictRun(job);
  void actions.predictRun(job);
  void actions.train();
  void actions.train();
  assert.deepEqual(
    submitted.map(({ wish }) => wish.task.kind),
    ['predict', 'train']
  );
  assert.deepEqual(screen.get().underWay, ['predict run-1', 'train']);
  submitted[0]?.answer.give(job);
  await turn();
  assert.deepEqual(screen.get().underWay, ['train']);
});

test('a wish whose answer was lost keeps its key; once answered, the same wish is another job', async () => {
  const { actions, submitted } = setUp();
  for (const wish of [
    () => actions.train(),
    () => actions.predictPublished(pores, { name: 'sand' } as never)
  ]) {
    submitted.length = 0;
    void wish();
    submitted[0]?.answer.refuse(lost);
    await turn();
    void wish();
    submitted[1]?.answer.give({ id: 'run-2' } as Job);
    await turn();
    void wish();
    submitted[2]?.answer.give({ id: 'run-3' } as Job);
    await turn();
    const [first, second, third] = submitted.map(({ key }) => key);
    assert.equal(first, second);
    assert.notEqual(second, third);
  }
});

test('another wish after a lost answer has a key of its own, and so has the same one once that is let go', async () => {
  const { actions, screen, submitted } = setUp();
  void actions.train();
  submitted[0]?.answer.refuse(lost);
  await turn();
  screen.set({ typed: { epochs: '9' } });
  void actions.train();
  submitted[1]?.answer.refuse(lost);
  await turn();
  assert.notEqual(submitted[0]?.key, submitted[1]?.key);
  actions.dismiss('train');
  void actions.train();
  assert.notEqual(submitted[1]?.key, submitted[2]?.key);
});

test('"its settings" are waited for: until they are here nothing is trained', async () => {
  const { actions, screen, submitted, models } = setUp();
  void actions.pickModel(pores);
  assert.match(choose(KNOWN, screen.get()).missing ?? '', /on their way/);
  await actions.train();
  assert.equal(submitted.length, 0);
  const problem = { code: 'x', message: 'No.', hint: null, transient: false };
  models.get('pores')?.refuse(new ProblemError(problem, 500));
  await turn();
  assert.match(choose(KNOWN, screen.get()).missing ?? '', /could not be read/);
  void actions.pickModel(pores);
  assert.equal(screen.get().troubles.models, null);
  models.get('pores')?.give({ params: { epochs: 50 } } as unknown as Model);
  await turn();
  assert.equal(choose(KNOWN, screen.get()).missing, null);
  assert.deepEqual(choose(KNOWN, screen.get()).params, { epochs: 50 });
});

test('what is answered late about one model does not land on another', async () => {
  const { actions, screen, models } = setUp();
  void actions.pickModel(pores);
  void actions.pickModel(seeds);
  models.get('seeds')?.give({ params: { epochs: 3 } } as unknown as Model);
  models.get('pores')?.give({ params: { epochs: 50 } } as unknown as Model);
  await turn();
  assert.deepEqual(screen.get().given, { epochs: 3 });
  void actions.pickModel(pores);
  void actions.pickModel(seeds);
  models.get('pores')?.refuse(lost);
  await turn();
  assert.equal(screen.get().troubles.models, null);
});
