import assert from 'node:assert/strict';
import test from 'node:test';

import type { Job } from '@mlex/api';

import { bytes, clock, duration, finds, jobScore, nextName, runLine, score } from '../src/words';

const JOB: Job = {
  id: 'run-1',
  name: 'tunet-01',
  spec: { task: { kind: 'train', model: 'tunet', data: 'sand', labels: 'hand' } },
  owner: 'ada',
  state: 'running',
  reason: null,
  message: null,
  hint: null,
  native_id: null,
  attempt: 1,
  submitted: '2026-01-01T10:00:00Z',
  started: '2026-01-01T10:00:01Z',
  ended: null,
  seen: null,
  exit_code: null,
  progress: null,
  metrics: {},
  outputs: []
};
const PROGRESS = { done: 12, total: 50, unit: 'epoch', fraction: 0.24, eta_s: 130, score: 0.83 };

test('sizes are said with the unit that suits', () => {
  assert.deepEqual([0, 999, 1000, 67_108_864, 999_700, 4.3e9].map(bytes), [
    '0 B',
    '999 B',
    '1.0 kB',
    '67 MB',
    '1.0 MB',
    '4.3 GB'
  ]);
});

test('times left and taken', () => {
  assert.deepEqual([0, 9.6, 130, 3730].map(clock), ['0:00', '0:10', '2:10', '1:02:10']);
  assert.deepEqual([48, 228, 7500].map(duration), ['48 s', '3 min 48 s', '2 h 5 min']);
});

test('a running job says its epoch and the time left', () => {
  assert.equal(runLine(JOB, PROGRESS), 'epoch 12 of 50 · 2:10 left');
  assert.equal(runLine(JOB, null), 'starting');
});

test('a waiting job says why, a failed one what happened', () => {
  assert.equal(
    runLine({ ...JOB, state: 'queued', reason: 'Waits for 2 cores (Busy)' }, null),
    'Waits for 2 cores (Busy)'
  );
  assert.equal(
    runLine({ ...JOB, state: 'failed', message: 'It ran out of memory.' }, PROGRESS),
    'It ran out of memory.'
  );
});

test('the score is the best so far while it runs, and the result when it is done', () => {
  assert.equal(jobScore({ ...JOB, metrics: { dice: 0.5 } }, PROGRESS), 0.83);
  assert.equal(jobScore({ ...JOB, state: 'done', metrics: { dice: 0.9 } }, PROGRESS), 0.9);
  assert.equal(jobScore(JOB, null), null);
});

test('the next name counts on, and takes no pattern from a name', () => {
  assert.equal(nextName('tunet', ['tunet-07', 'tunet-2', 'unet-9']), 'tunet-08');
  assert.equal(nextName('a.b', ['axb-05']), 'a.b-01');
});

test('a search finds what has every word', () => {
  assert.ok(finds('sand tun', 'tunet-07', 'sand-tomo'));
  assert.ok(finds('', 'anything'));
  assert.ok(!finds('foam', 'sand-tomo'));
});

test('a score that is not there is a dash, and never an error', () => {
  assert.deepEqual([0.834, 1, null, undefined, NaN].map(score), ['0.83', '1.00', '–', '–', '–']);
});
