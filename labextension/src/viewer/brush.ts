/** A brush on a slice of labels: what it sweeps is filled row by row, and remembered until it is let go. */

import type { Point } from './geometry';

export interface Box {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** A rectangle of a slice, with which of its pixels were set: so many not, so many set, so many not, … */
export interface Mask {
  row: number;
  column: number;
  height: number;
  width: number;
  runs: number[];
  pixels: number;
}

export class Brushed {
  /** `onto`: whether a pixel of this value may be painted over. */
  constructor(
    private readonly values: Uint8Array,
    private readonly width: number,
    private readonly height: number,
    private readonly value: number,
    private readonly onto: (value: number) => boolean
  ) {
    this.touched = new Uint8Array(width * height);
  }

  /** Sweep a disc from one point to another; the rows and columns that changed. */
  sweep(from: Point, to: Point, radius: number): Box | null {
    const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
    const bottom = Math.min(this.height, Math.ceil(Math.max(from.y, to.y) + radius) + 1);
    let changed: Box | null = null;
    for (let row = top; row < bottom; row++) {
      const span = spanOf(from, to, radius, row + 0.5);
      const left = Math.max(0, Math.ceil(span[0] - 0.5));
      const right = Math.min(this.width, Math.floor(span[1] - 0.5) + 1);
      if (left < right && this.fill(row, left, right)) {
        changed = joined(changed, { top: row, left, bottom: row + 1, right });
      }
    }
    this.box = joined(this.box, changed);
    return changed;
  }

  /** All that was set, or null where nothing was. */
  mask(): Mask | null {
    if (this.box === null) {
      return null;
    }
    const { top, left, bottom, right } = this.box;
    const runs: number[] = [];
    let [set, length, pixels] = [0, 0, 0];
    for (let row = top; row < bottom; row++) {
      for (let at = row * this.width + left; at < row * this.width + right; at++) {
        const now = this.touched[at]!;
        pixels += now;
        if (now === set) {
          length += 1;
        } else {
          runs.push(length);
          [set, length] = [now, 1];
        }
      }
    }
    runs.push(length);
    return { row: top, column: left, height: bottom - top, width: right - left, runs, pixels };
  }

  private fill(row: number, left: number, right: number): boolean {
    let any = false;
    for (let at = row * this.width + left; at < row * this.width + right; at++) {
      const before = this.values[at]!;
      if (!this.touched[at] && before !== this.value && this.onto(before)) {
        this.touched[at] = 1;
        this.values[at] = this.value;
        any = true;
      }
    }
    return any;
  }

  private readonly touched: Uint8Array;
  private box: Box | null = null;
}

/** From where to where a disc that moves along a line covers a row: its two ends, and the two sides between them. */
function spanOf(from: Point, to: Point, radius: number, y: number): [number, number] {
  let [left, right] = [Infinity, -Infinity];
  const reach = (x: number): void => {
    left = Math.min(left, x);
    right = Math.max(right, x);
  };
  for (const end of [from, to]) {
    const rest = radius * radius - (y - end.y) ** 2;
    if (rest >= 0) {
      reach(end.x - Math.sqrt(rest));
      reach(end.x + Math.sqrt(rest));
    }
  }
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy);
  if (length > 0) {
    const [nx, ny] = [(-dy / length) * radius, (dx / length) * radius];
    for (const side of [1, -1]) {
      const [ax, ay] = [from.x + side * nx, from.y + side * ny];
      const part = dy === 0 ? NaN : (y - ay) / dy;
      part >= 0 && part <= 1 && reach(ax + part * dx);
    }
  }
  return [left, right];
}

export function joined(one: Box | null, other: Box | null): Box | null {
  if (one === null || other === null) {
    return one ?? other;
  }
  return {
    top: Math.min(one.top, other.top),
    left: Math.min(one.left, other.left),
    bottom: Math.max(one.bottom, other.bottom),
    right: Math.max(one.right, other.right)
  };
}
