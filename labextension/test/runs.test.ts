import assert from 'node:assert/strict';
import test from 'node:test';

import type { Job, JobState } from '@mlex/api';

import { Runs } from '../src/runs';
import { Turns } from '../src/turns';

const run = (id: string, state: JobState): Job => ({ id, name: id, state }) as Job;
const shown = (runs: readonly Job[]): string[] => runs.map(({ id, state }) => `${id} ${state}`);
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

test('an older answer that comes last writes nothing over a newer one, and an end is told once', () => {
  const runs = new Runs();
  const known = [run('run-1', 'running')];
  const [list, look] = [runs.asking(), runs.asking()];
  const first = runs.hear(known, [run('run-1', 'done')], look);
  assert.deepEqual(shown(first.ended), ['run-1 done']);
  const late = runs.hear(first.runs, [run('run-1', 'running'), run('run-0', 'done')], list);
  assert.deepEqual(shown(late.runs), ['run-1 done', 'run-0 done']);
  assert.deepEqual(late.ended, [], 'what was over when it was first seen did not end now');
  const again = runs.hear(late.runs, [run('run-1', 'done')], runs.asking());
  assert.deepEqual(again.ended, []);
});

test('a run that is resumed may run and end again', () => {
  const runs = new Runs();
  const resumed = runs.hear([run('run-1', 'cancelled')], [run('run-1', 'waiting')], runs.asking());
  assert.deepEqual(shown(resumed.runs), ['run-1 waiting']);
  assert.deepEqual(shown(runs.hear(resumed.runs, [run('run-1', 'done')], runs.asking()).ended), [
    'run-1 done'
  ]);
});

test('a list of the newest does not take the older ones away', () => {
  const runs = new Runs();
  const { runs: old } = runs.hear([], [run('run-1', 'done')], runs.asking());
  const { runs: all } = runs.hear(old, [run('run-3', 'done'), run('run-2', 'queued')], runs.asking());
  assert.deepEqual(shown(all), ['run-3 done', 'run-2 queued', 'run-1 done']);
});

test('wanted three times while under way, work is done once more', async () => {
  const turns = new Turns();
  const ends: (() => void)[] = [];
  const work = (): Promise<void> => new Promise(resolve => ends.push(resolve));
  const first = turns.take('run-1', work);
  void turns.take('run-1', work);
  void turns.take('run-1', work);
  void turns.take('run-2', work);
  assert.equal(ends.length, 2);
  ends[0]?.();
  await turn();
  assert.equal(ends.length, 3);
  ends[2]?.();
  await first;
  void turns.take('run-1', work);
  assert.equal(ends.length, 4);
});

test('work that fails does not stand in the way of the next', async () => {
  const turns = new Turns();
  await assert.rejects(turns.take('run-1', () => Promise.reject(new Error('no'))));
  let done = false;
  await turns.take('run-1', () => Promise.resolve(void (done = true)));
  assert.ok(done);
});
