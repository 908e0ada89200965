import assert from 'node:assert/strict';
import test from 'node:test';

import { heights } from '../src/heights';

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);

test('where there is room, each gets what it wants and the last the rest', () => {
  assert.deepEqual(heights([60, 100, 250, 50], 600, 2), [60, 100, 250, 190]);
});

test('where there is little, the form keeps half and the others share', () => {
  const given = heights([400, 100, 250, 400], 500, 2);
  assert.equal(given[2], 250);
  assert.equal(sum(given), 500);
  assert.ok(given.every(height => height > 80));
});

test('the small are content before the large are served', () => {
  assert.deepEqual(heights([30, 500, 100, 500], 330, 2), [30, 100, 100, 100]);
});

test('a closed section gets nothing', () => {
  assert.deepEqual(heights([60, 0, 250, 0], 500, 2), [60, 0, 440, 0]);
});
