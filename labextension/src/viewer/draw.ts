/** Drawing: each pixel of a rectangle of the canvas from the slice below it, with labels and prediction over it. */

import type { Overlay } from './colours';
import type { Size, View } from './geometry';
import { toCanvas } from './geometry';
import type { Box } from './brush';
import type { Raster } from './raster';

export interface Scene {
  view: View;
  /** Of the slice, in full pixels. */
  slice: Size;
  raster: Raster | null;
  /** A colour for each code of the raster. */
  colours: Uint32Array | null;
  /** From the lowest to the topmost. */
  overlays: readonly Overlay[];
}

const GROUND = 0xff0b0b0b;

/** The rectangle of the canvas that shows a box of the slice. */
export function shownBox(view: View, canvas: Size, box: Box): Box {
  const from = toCanvas(view, canvas, { x: box.left, y: box.top });
  const to = toCanvas(view, canvas, { x: box.right, y: box.bottom });
  return {
    top: Math.max(0, Math.floor(from.y) - 1),
    left: Math.max(0, Math.floor(from.x) - 1),
    bottom: Math.min(canvas.height, Math.ceil(to.y) + 1),
    right: Math.min(canvas.width, Math.ceil(to.x) + 1)
  };
}

export function draw(context: CanvasRenderingContext2D, scene: Scene, box: Box): void {
  const [width, height] = [box.right - box.left, box.bottom - box.top];
  if (width > 0 && height > 0) {
    const image = context.createImageData(width, height);
    render(new Uint32Array(image.data.buffer), scene, context.canvas, box);
    context.putImageData(image, box.left, box.top);
  }
}

/** The pixels of a rectangle of the canvas, row by row. */
export function render(out: Uint32Array, scene: Scene, canvas: Size, box: Box): void {
  const { view, slice, raster, colours, overlays } = scene;
  const width = box.right - box.left;
  const columns = along(view.x, view.scale, canvas.width, slice.width, box.left, width);
  const rows = along(view.y, view.scale, canvas.height, slice.height, box.top, box.bottom - box.top);
  const inRaster = raster && columns.map(x => (x < 0 ? -1 : Math.floor((x * raster.width) / slice.width)));
  for (let i = 0; i < rows.length; i++) {
    const y = rows[i]!;
    const start = i * width;
    if (y < 0) {
      out.fill(GROUND, start, start + width);
      continue;
    }
    if (raster && colours && inRaster) {
      const at = Math.floor((y * raster.height) / slice.height) * raster.width;
      for (let j = 0; j < width; j++) {
        const x = inRaster[j]!;
        out[start + j] = x < 0 ? GROUND : colours[raster.codes[at + x]!]!;
      }
    } else {
      out.fill(GROUND, start, start + width);
    }
    for (const overlay of overlays) {
      lay(out, start, columns, y, rows[i + 1] ?? y, overlay, slice, box.left, box.top + i);
    }
  }
}

/** Lay one row of an overlay over what is there. */
function lay(
  out: Uint32Array,
  start: number,
  columns: Int32Array,
  y: number,
  below: number,
  { values, width, height, red, green, blue, strength, style }: Overlay,
  slice: Size,
  left: number,
  top: number
): void {
  const whole = width === slice.width && height === slice.height;
  const at = (whole ? y : Math.floor((y * height) / slice.height)) * width;
  const next = below < 0 ? at : (whole ? below : Math.floor((below * height) / slice.height)) * width;
  for (let j = 0; j < columns.length; j++) {
    const x = columns[j]!;
    if (x < 0) {
      continue;
    }
    const here = whole ? x : Math.floor((x * width) / slice.width);
    const value = values[at + here]!;
    let strong = strength[value]!;
    if (strong === 0) {
      continue;
    }
    if (style === 'outline') {
      const right = columns[j + 1] ?? x;
      const beside = right < 0 ? here : whole ? right : Math.floor((right * width) / slice.width);
      if (values[at + beside] === value && values[next + here] === value) {
        continue;
      }
      strong = 256;
    } else if (style === 'pattern' && !inPattern(value, left + j, top)) {
      strong >>= 2;
    }
    const under = out[start + j]!;
    const rest = 256 - strong;
    const r = ((under & 255) * rest + red[value]! * strong) >> 8;
    const g = (((under >> 8) & 255) * rest + green[value]! * strong) >> 8;
    const b = (((under >> 16) & 255) * rest + blue[value]! * strong) >> 8;
    out[start + j] = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  }
}

/** Stripes and dots that tell classes apart without their colours. */
function inPattern(value: number, x: number, y: number): boolean {
  switch (value % 4) {
    case 1:
      return (x + y) % 8 < 5;
    case 2:
      return (x % 7) ** 2 + (y % 7) ** 2 > 6;
    case 3:
      return (x - y + (1 << 20)) % 8 < 5;
    default:
      return y % 8 < 5;
  }
}

/** The pixel of the slice under each of some pixels of the canvas, along one side; -1 where there is none. */
function along(
  middle: number,
  scale: number,
  room: number,
  length: number,
  from: number,
  count: number
): Int32Array {
  const found = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const place = Math.floor(middle + (from + i + 0.5 - room / 2) / scale);
    found[i] = place >= 0 && place < length ? place : -1;
  }
  return found;
}
