import assert from 'node:assert/strict';
import test from 'node:test';

import { Brushed } from '../src/viewer/brush';

const [WIDTH, HEIGHT] = [40, 30];
const any = (): boolean => true;

/** What a disc that moves in small steps covers. */
function swept(from: { x: number; y: number }, to: { x: number; y: number }, radius: number): Uint8Array {
  const found = new Uint8Array(WIDTH * HEIGHT);
  for (let step = 0; step <= 2000; step++) {
    const [x, y] = [from.x + ((to.x - from.x) * step) / 2000, from.y + ((to.y - from.y) * step) / 2000];
    found.forEach((_, at) => {
      const [dx, dy] = [(at % WIDTH) + 0.5 - x, Math.floor(at / WIDTH) + 0.5 - y];
      if (dx * dx + dy * dy <= radius * radius) {
        found[at] = 1;
      }
    });
  }
  return found;
}

for (const [from, to, radius] of [
  [{ x: 10, y: 10 }, { x: 10, y: 10 }, 4.5],
  [{ x: 8.2, y: 9.9 }, { x: 30.1, y: 9.9 }, 3],
  [{ x: 20, y: 4 }, { x: 20, y: 27 }, 5.3],
  [{ x: 5, y: 5 }, { x: 33, y: 22 }, 2.7],
  [{ x: 35, y: 2 }, { x: -4, y: 35 }, 6]
] as const) {
  test(`a brush of ${radius} from ${from.x}, ${from.y} to ${to.x}, ${to.y} paints what it sweeps`, () => {
    const values = new Uint8Array(WIDTH * HEIGHT);
    new Brushed(values, WIDTH, HEIGHT, 1, any).sweep(from, to, radius);
    const expected = swept(from, to, radius);
    const different = values.filter((value, at) => value !== expected[at]).length;
    assert.ok(different <= 3, `${different} pixels differ`); // steps are not a line
    assert.ok(values.includes(1));
  });
}

test('the mask says which pixels were set, whatever was there before', () => {
  const values = new Uint8Array(WIDTH * HEIGHT);
  values.fill(1, 5 * WIDTH, 6 * WIDTH);
  const before = values.slice();
  const brush = new Brushed(values, WIDTH, HEIGHT, 1, any);
  brush.sweep({ x: 10, y: 5 }, { x: 20, y: 7 }, 3);
  const mask = brush.mask()!;
  let [at, set] = [0, 0];
  for (const run of mask.runs) {
    for (let i = 0; i < run; i++, at++) {
      const place = (mask.row + Math.floor(at / mask.width)) * WIDTH + mask.column + (at % mask.width);
      assert.equal(before[place] !== values[place], set === 1);
    }
    set = 1 - set;
  }
  assert.equal(at, mask.width * mask.height);
  assert.equal(mask.pixels, values.filter((value, i) => value !== before[i]).length);
});

test('what is preserved stays', () => {
  const values = new Uint8Array(WIDTH * HEIGHT).fill(2);
  const brush = new Brushed(values, WIDTH, HEIGHT, 1, value => value === 0);
  assert.equal(brush.sweep({ x: 10, y: 5 }, { x: 20, y: 7 }, 3), null);
  assert.equal(brush.mask(), null);
});
