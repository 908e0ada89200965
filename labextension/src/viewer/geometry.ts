/** Where a slice lies on the canvas. Lengths on the canvas are its own pixels, places in the slice are full pixels. */

export interface View {
  /** Canvas pixels for each pixel of the slice. */
  scale: number;
  /** The place in the slice that is in the middle of the canvas. */
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

const MARGIN = 0.96;
const LARGEST = 64;

/** The whole slice, in the middle. */
export function fitted(slice: Size, canvas: Size): View {
  const scale = Math.min(canvas.width / slice.width, canvas.height / slice.height) * MARGIN;
  return { scale: Math.max(scale, 1e-3), x: slice.width / 2, y: slice.height / 2 };
}

export function toSlice(view: View, canvas: Size, { x, y }: Point): Point {
  return {
    x: view.x + (x - canvas.width / 2) / view.scale,
    y: view.y + (y - canvas.height / 2) / view.scale
  };
}

export function toCanvas(view: View, canvas: Size, { x, y }: Point): Point {
  return {
    x: (x - view.x) * view.scale + canvas.width / 2,
    y: (y - view.y) * view.scale + canvas.height / 2
  };
}

/** Nearer or farther, while what is under a point of the canvas stays there. */
export function zoomed(view: View, slice: Size, canvas: Size, factor: number, at: Point): View {
  const least = fitted(slice, canvas).scale / 4;
  const scale = Math.min(LARGEST, Math.max(least, view.scale * factor));
  const here = toSlice(view, canvas, at);
  const moved = {
    scale,
    x: here.x - (at.x - canvas.width / 2) / scale,
    y: here.y - (at.y - canvas.height / 2) / scale
  };
  return held(moved, slice);
}

export function panned(view: View, slice: Size, dx: number, dy: number): View {
  return held({ ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale }, slice);
}

/** Some of the slice stays in sight. */
function held({ scale, x, y }: View, { width, height }: Size): View {
  return { scale, x: Math.min(width, Math.max(0, x)), y: Math.min(height, Math.max(0, y)) };
}

/** How many pixels a raster should have: as the canvas shows, in few steps so that it is kept while zooming. */
export function rasterSize(slice: Size, scale: number): number {
  const longest = Math.max(slice.width, slice.height);
  const shown = Math.min(longest, longest * scale);
  return Math.min(4096, 2 ** Math.ceil(Math.log2(Math.max(256, shown))));
}

/** A round length for the scale bar, in the volume's unit, and how many canvas pixels it has. */
export function scaleBar(scale: number, pixelSize: number, room: number): { length: number; pixels: number } {
  const most = (room / scale) * pixelSize;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = ([5, 2, 1].find(step => step * power <= most) ?? 1) * power;
  return { length, pixels: (length / pixelSize) * scale };
}
