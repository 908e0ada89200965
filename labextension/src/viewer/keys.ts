/** What keys do while the picture has the focus. */

import type { Size } from './geometry';
import { fitted, zoomed } from './geometry';
import type { Viewer } from './viewer';

export const KEYS: readonly (readonly [string, string])[] = [
  ['← →', 'one slice'],
  ['PgUp PgDn', 'ten slices'],
  ['N, Shift N', 'next, previous labelled slice'],
  ['G', 'next suggested slice'],
  ['B', 'brush'],
  ['E', 'eraser'],
  ['I', 'pick a class from the picture'],
  ['V, hold Space', 'move the picture'],
  ['[ ]', 'size of the brush'],
  ['1–9', 'class'],
  ['0', 'unlabelled'],
  ['O', 'labels off and on'],
  ['C', 'automatic contrast'],
  ['+ −, Ctrl wheel', 'nearer, farther'],
  ['Home', 'whole slice'],
  ['wheel', 'slices, when the picture has the focus'],
  ['Shift wheel', 'size of the brush'],
  ['Ctrl Z, Ctrl Shift Z', 'undo, redo'],
  ['Esc', 'leave the picture']
];

/** Whether the key meant something. */
export function pressed(viewer: Viewer, event: KeyboardEvent, canvas: Size): boolean {
  const { size, view, opacity, classes } = viewer.state.get();
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    const kind = key === 'y' || (key === 'z' && event.shiftKey) ? 'redo' : key === 'z' ? 'undo' : null;
    kind && void viewer.takeBack(kind);
    return kind !== null;
  }
  const zoom = (factor: number): void => {
    const middle = { x: canvas.width / 2, y: canvas.height / 2 };
    view && viewer.look(zoomed(view, viewer.slice, canvas, factor, middle));
  };
  const step = Math.max(1, Math.round(size / 8));
  const acts: Record<string, () => void> = {
    arrowleft: () => viewer.step(-1),
    arrowright: () => viewer.step(1),
    pageup: () => viewer.step(-10),
    pagedown: () => viewer.step(10),
    n: () => viewer.labelled(event.shiftKey ? -1 : 1),
    g: () => viewer.suggested(),
    b: () => viewer.set({ tool: 'brush' }),
    e: () => viewer.set({ tool: 'eraser' }),
    i: () => viewer.set({ tool: 'pick' }),
    v: () => viewer.set({ tool: 'pan' }),
    '[': () => viewer.set({ size: size - step }),
    ']': () => viewer.set({ size: size + step }),
    o: () => viewer.set({ opacity: { ...opacity, labels: opacity.labels > 0 ? 0 : 0.7 } }),
    c: () => viewer.auto(),
    '+': () => zoom(1.25),
    '=': () => zoom(1.25),
    '-': () => zoom(0.8),
    home: () => viewer.look(fitted(viewer.slice, canvas))
  };
  const act = acts[key];
  if (act) {
    act();
    return true;
  }
  if (/^[0-9]$/.test(key)) {
    choose(
      viewer,
      Number(key),
      classes.map(({ value }) => value)
    );
    return true;
  }
  return false;
}

/** Take a class: the n-th of the list; 0 is to unlabel. */
function choose(viewer: Viewer, number: number, values: readonly number[]): void {
  const value = values[number - 1];
  if (number === 0) {
    viewer.set({ tool: 'eraser' });
  } else if (value !== undefined) {
    const { tool } = viewer.state.get();
    viewer.set({ value, tool: tool === 'eraser' || tool === 'pan' ? 'brush' : tool });
  }
}
