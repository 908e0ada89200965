import assert from 'node:assert/strict';
import test from 'node:test';
import { deflateSync } from 'node:zlib';

import type { LabelSlice } from '@mlex/api';

import { greyTable, overlayOf } from '../src/viewer/colours';
import { render } from '../src/viewer/draw';
import { fitted, rasterSize, scaleBar, toCanvas, toSlice, zoomed } from '../src/viewer/geometry';
import { planeOf } from '../src/viewer/labels';
import { rasterIn, Rasters, valueOf } from '../src/viewer/raster';
import { Slices } from '../src/viewer/slices';

function raster(width: number, height: number, codes: readonly number[], bits = 8): ArrayBuffer {
  const said = { width, height, bits, low: 0, high: bits === 8 ? 255 : 1, dark: 0, bright: 255 };
  const line = new TextEncoder().encode(`${JSON.stringify(said)}\n`);
  const pixels = bits === 8 ? Uint8Array.from(codes) : new Uint8Array(Uint16Array.from(codes).buffer);
  const whole = new Uint8Array(line.length + pixels.length);
  whole.set(line);
  whole.set(pixels, line.length);
  return whole.buffer;
}

test('a raster is read as it was sent, of one byte or two', () => {
  assert.deepEqual([...rasterIn(raster(2, 2, [0, 1, 2, 255])).codes], [0, 1, 2, 255]);
  const wide = rasterIn(raster(3, 1, [0, 500, 65535], 16));
  assert.deepEqual([...wide.codes], [0, 500, 65535]);
  assert.equal(valueOf(wide, 65535), 1);
});

test('a raster is asked for once, and the oldest goes where there is no room', async () => {
  let asked = 0;
  const load = (): Promise<ArrayBuffer> =>
    Promise.resolve(raster(10, 10, new Array<number>(100).fill(++asked)));
  const rasters = new Rasters(load, 250);
  const place = (index: number) => ({ axis: 0, index, size: 256 });
  await Promise.all([rasters.get(place(0)), rasters.get(place(0))]);
  assert.equal(asked, 1);
  await rasters.get(place(1));
  rasters.here(place(0));
  await rasters.get(place(2));
  assert.ok(rasters.here(place(0)) && !rasters.here(place(1)) && rasters.here(place(2)));
});

test('what nobody waits for any more is not brought', async () => {
  const stopped: number[] = [];
  const load = ({ index }: { index: number }, signal: AbortSignal): Promise<ArrayBuffer> =>
    new Promise((_, reject) =>
      signal.addEventListener('abort', () => {
        stopped.push(index);
        reject(new Error('aborted'));
      })
    );
  const rasters = new Rasters(load);
  const place = (index: number) => ({ axis: 0, index, size: 256 });
  rasters.prefetch([place(1), place(2)], place(0));
  rasters.prefetch([place(3)], place(2));
  await new Promise(resolve => setTimeout(resolve));
  assert.deepEqual(stopped, [1]);
});

test('a place is the same there and back, and zooming keeps what is under the pointer', () => {
  const [slice, canvas] = [
    { width: 500, height: 300 },
    { width: 800, height: 600 }
  ];
  const view = fitted(slice, canvas);
  const at = { x: 123, y: 456 };
  const there = toSlice(view, canvas, at);
  const back = toCanvas(view, canvas, there);
  assert.ok(Math.hypot(back.x - at.x, back.y - at.y) < 1e-9);
  const near = zoomed(view, slice, canvas, 3, at);
  const still = toSlice(near, canvas, at);
  assert.ok(Math.hypot(still.x - there.x, still.y - there.y) < 1e-9);
});

test('pixels are asked for as the canvas shows them', () => {
  assert.equal(rasterSize({ width: 2048, height: 2048 }, 0.3), 1024);
  assert.equal(rasterSize({ width: 2048, height: 2048 }, 5), 2048);
  assert.equal(rasterSize({ width: 64, height: 64 }, 5), 256);
});

test('the scale bar has a round length', () => {
  assert.deepEqual(scaleBar(2, 0.65, 100), { length: 20, pixels: (20 / 0.65) * 2 });
});

test('the contrast maps values to black and white', () => {
  const found = rasterIn(raster(1, 1, [0]));
  const table = greyTable(found, 50, 100, 'grey');
  assert.deepEqual([table[50], table[100], table[75]], [0xff000000, 0xffffffff, 0xff808080]);
  assert.equal(greyTable(found, 50, 100, 'inverted')[0], 0xffffffff);
});

test('labels are laid over the grey, and what is hidden or outside is not', () => {
  const codes = [100, 100, 100, 100];
  const found = rasterIn(raster(2, 2, codes));
  const classes = [
    { value: 1, color: '#ff0000' },
    { value: 2, color: '#00ff00' }
  ];
  const over = overlayOf(Uint8Array.of(0, 1, 2, 0), 2, 2, classes, new Set([2]), 1, 'fill');
  const scene = {
    view: { scale: 1, x: 1, y: 1 },
    slice: { width: 2, height: 2 },
    raster: found,
    colours: greyTable(found, 0, 255, 'grey'),
    overlays: [over]
  };
  const out = new Uint32Array(16);
  render(out, scene, { width: 4, height: 4 }, { top: 0, left: 0, bottom: 4, right: 4 });
  const [grey, red, ground] = [0xff646464, 0xff0000ff, 0xff0b0b0b];
  assert.deepEqual(
    [...out],
    [
      ground,
      ground,
      ground,
      ground,
      ground,
      grey,
      red,
      ground,
      ground,
      grey,
      grey,
      ground,
      ground,
      ground,
      ground,
      ground
    ]
  );
});

test('a slice of labels is put together from its squares', async () => {
  const square = (bytes: readonly number[]): string => deflateSync(Uint8Array.from(bytes)).toString('base64');
  const slice: LabelSlice = {
    labels: 'x',
    axis: 0,
    index: 3,
    height: 3,
    width: 5,
    tile: 2,
    number: 7,
    elsewhere: 0,
    blocks: [
      { row: 0, column: 0, version: 1, values: square([1, 2, 3, 4]) },
      { row: 1, column: 2, version: 1, values: square([9]) }
    ]
  };
  const plane = await planeOf(slice);
  assert.deepEqual([...plane.values], [1, 2, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 9]);
  assert.equal(plane.number, 7);
});

test('who scrubs sees slices on the way, and waits for none that has passed', async () => {
  let [wanted, asked] = [0, 0];
  const shown: number[] = [];
  const load = async (_: string, { index }: { index: number }): Promise<ArrayBuffer> => {
    asked += 1;
    await new Promise(resolve => setTimeout(resolve, 8));
    return raster(1, 1, [index]);
  };
  const slices: Slices = new Slices(load, 'sand', {
    wanted: () => ({ axis: 0, index: wanted, size: 256 }),
    depth: () => 1,
    brought: () => shown.push(slices.place!.index),
    problem: problem => assert.equal(problem, null)
  });
  for (wanted = 0; wanted < 59; wanted++) {
    void slices.show();
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  await slices.show();
  while (shown[shown.length - 1] !== 59) {
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  assert.ok(shown.length > 2 && asked < 40, `${shown.length} shown, ${asked} asked`);
  assert.deepEqual(
    shown,
    [...shown].sort((a, b) => a - b)
  );
});

test('a slice that cannot be read says why, and the next one is shown', async () => {
  let wanted = 0;
  const said: (string | undefined)[] = [];
  const load = (_: string, { index }: { index: number }): Promise<ArrayBuffer> =>
    index === 0 ? Promise.reject(new Error('gone')) : Promise.resolve(raster(1, 1, [1]));
  const slices = new Slices(load, 'sand', {
    wanted: () => ({ axis: 0, index: wanted, size: 256 }),
    depth: () => 1,
    brought: () => undefined,
    problem: problem => said.push(problem?.code)
  });
  await slices.show();
  wanted = 1;
  await slices.show();
  assert.deepEqual(said, ['unreachable', undefined]);
  assert.equal(slices.place?.index, 1);
});
