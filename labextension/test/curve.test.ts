import assert from 'node:assert/strict';
import test from 'node:test';

import type { Event } from '@mlex/api';

import { Curve, highest, progressIn } from '../src/curve';

let id = 0;
function event(kind: string, values: Event['values']): Event {
  id += 1;
  return { id, time: '2026-01-01T00:00:00Z', subject: 'run-1', kind, values };
}

const step = (at: number, loss: number | null): Event => event('metrics', { step: at, epoch: 1, loss });
const epoch = (n: number, dice: number | null): Event =>
  event('epoch', { epoch: n, epochs: 4, loss: 1 / n, val_loss: 2 / n, dice, dice_by_class: { pore: dice } });

test('steps become a curve, in their order', () => {
  const curve = new Curve();
  curve.fold([step(1, 0.9), step(2, 0.8)]);
  curve.fold([step(3, 0.7)]);
  assert.deepEqual(curve.steps, [1, 2, 3]);
  assert.deepEqual(curve.losses, [0.9, 0.8, 0.7]);
});

test('a resumed run repeats steps, and the last value of each wins', () => {
  const curve = new Curve();
  curve.fold([step(1, 0.9), step(2, 0.8), step(3, 0.7)]);
  curve.fold([step(2, 0.5), step(3, 0.4), step(4, 0.3)]);
  assert.deepEqual(curve.steps, [1, 2, 3, 4]);
  assert.deepEqual(curve.losses, [0.9, 0.5, 0.4, 0.3]);
});

test('events that come twice, from history and from the live stream, count once', () => {
  const curve = new Curve();
  const all = [step(1, 0.9), step(2, 0.8), epoch(1, 0.5), step(3, 0.7)];
  curve.fold(all.slice(0, 3));
  curve.fold(all.slice(1));
  assert.deepEqual(curve.steps, [1, 2, 3]);
  assert.equal(curve.epochs.length, 1);
});

test('an epoch stands at the step where it ended, also when it is told again', () => {
  const curve = new Curve();
  curve.fold([step(1, 1), step(2, 1), epoch(1, 0.4), step(3, 1), step(4, 1), epoch(2, 0.6)]);
  assert.deepEqual(
    curve.epochs.map(({ step: at }) => at),
    [2, 4]
  );
  assert.equal(curve.stepsPerEpoch, 2);
  curve.fold([step(3, 0.5), step(4, 0.5), epoch(1, 0.7)]);
  assert.equal(curve.epochs[0]?.step, 2);
  assert.equal(curve.epochs[0]?.dice, 0.7);
});

test('a loss that became NaN is a gap, not a point', () => {
  const curve = new Curve();
  curve.fold([step(1, 0.9), step(2, null)]);
  assert.deepEqual(curve.steps, [1, 2]);
  assert.ok(Number.isNaN(curve.losses[1]));
});

test('the best epoch is the first with the highest Dice; one without a score is never it', () => {
  const curve = new Curve();
  curve.fold([epoch(1, null), epoch(2, 0.8), epoch(3, 0.8), epoch(4, 0.1)]);
  assert.equal(curve.best?.epoch, 2);
  assert.equal(
    highest([], () => 1),
    undefined
  );
});

test('what a run says of its progress and pictures is kept, the newest of each epoch', () => {
  const curve = new Curve();
  curve.fold([
    event('progress', { done: 1, total: 4, unit: 'epoch', fraction: 0.25, eta_s: 9, score: null }),
    event('picture', { epoch: 1, z: 7, path: 'pictures/1.png', dice: 0.3 }),
    event('picture', { epoch: 1, z: 7, path: 'pictures/1.png', dice: 0.4 }),
    event('note', { text: 'ignored' })
  ]);
  assert.equal(curve.total, 4);
  assert.deepEqual(curve.pictures, [{ epoch: 1, z: 7, dice: 0.4 }]);
});

test('a hundred thousand steps are folded in well under a second', () => {
  const curve = new Curve();
  const began = performance.now();
  for (let at = 0; at < 100_000; at += 100) {
    curve.fold(Array.from({ length: 100 }, (_, i) => step(at + i, 1)));
  }
  assert.equal(curve.steps.length, 100_000);
  assert.ok(performance.now() - began < 1000);
});

test('a class of which nothing was kept apart has no score; text and NaN are none either', () => {
  const curve = new Curve();
  const dice_by_class = { pore: 0.5, grain: null, binder: 'NaN' };
  curve.fold([event('epoch', { epoch: 1, epochs: 4, loss: 1, val_loss: 1, dice: 0.5, dice_by_class })]);
  assert.deepEqual(curve.epochs[0]?.dice_by_class, { pore: 0.5, grain: null, binder: null });
});

test('progress that cannot be meant is not shown, and a score that is no number is none', () => {
  const said = { done: 1, total: 4, unit: 'epoch', fraction: 0.25, eta_s: 'soon', score: '0.5' };
  assert.deepEqual(progressIn(said), { ...said, eta_s: null, score: null });
  assert.equal(progressIn({ ...said, done: null }), null);
  assert.equal(progressIn({ ...said, fraction: 7 })?.fraction, 1);
  const curve = new Curve();
  curve.fold([event('progress', said), event('progress', { text: 'nearly' })]);
  assert.equal(curve.progress?.done, 1);
});
