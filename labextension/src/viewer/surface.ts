/** The surface: a canvas that shows a viewer's slice, and what pointer and keys do on it. */

import { Brushed, joined, type Box } from './brush';
import { classTable, greyTable, overlayOf, type Overlay } from './colours';
import { draw, shownBox } from './draw';
import { fitted, panned, type Point, type Size, toSlice, zoomed } from './geometry';
import { pressed } from './keys';
import type { Plane } from './labels';
import { valueOf } from './raster';
import type { Viewer } from './viewer';

/** What is under the pointer. */
export interface Under {
  x: number;
  y: number;
  value: number | null;
  label: string | null;
}

export class Surface {
  /** `ring` follows the pointer in the size of the brush; `told` hears what is under it. */
  constructor(
    private readonly viewer: Viewer,
    private readonly canvas: HTMLCanvasElement,
    private readonly ring: HTMLElement,
    private readonly told: (under: Under | null) => void
  ) {
    this.context = canvas.getContext('2d', { alpha: false })!;
    viewer.onRepaint = what => this.repaint(what === 'labels' ? 'labels' : 'all');
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(canvas.parentElement!);
    const { signal } = this.over;
    canvas.addEventListener('pointerdown', this.down, { signal });
    canvas.addEventListener('pointermove', this.move, { signal });
    canvas.addEventListener('pointerup', this.up, { signal });
    canvas.addEventListener('pointercancel', this.up, { signal });
    canvas.addEventListener('pointerleave', () => this.leave(), { signal });
    canvas.addEventListener('wheel', this.wheel, { passive: false, signal });
    canvas.addEventListener('keydown', this.keyDown, { signal });
    canvas.addEventListener('keyup', event => event.key === ' ' && this.space(false), { signal });
    canvas.addEventListener('blur', () => this.space(false), { signal });
    this.fit();
  }

  dispose(): void {
    this.over.abort();
    this.sizes.disconnect();
    this.viewer.onRepaint = () => undefined;
  }

  get size(): Size {
    return { width: this.canvas.width, height: this.canvas.height };
  }

  /** Draw all of it, or a box of the slice, before the next frame. */
  private repaint(what: 'all' | 'labels' | Box): void {
    this.dirty = typeof what === 'string' ? 'all' : this.dirty === 'all' ? 'all' : joined(this.dirty, what);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
    });
  }

  private paint(): void {
    const { viewer, dirty } = this;
    const { view } = viewer.state.get();
    this.dirty = null;
    if (view === null || dirty === null || this.over.signal.aborted) {
      return;
    }
    if (dirty === 'all') {
      this.colours = this.greys();
      this.overlays = this.layers();
    }
    const scene = {
      view,
      slice: viewer.slice,
      raster: this.here()?.raster ?? null,
      colours: this.colours,
      overlays: this.overlays
    };
    const whole = { top: 0, left: 0, bottom: this.canvas.height, right: this.canvas.width };
    draw(this.context, scene, dirty === 'all' ? whole : shownBox(view, this.size, dirty));
    const place = this.here()?.place;
    this.canvas.dataset['shown'] = place ? `${place.axis} ${place.index}` : '';
  }

  /** The slices that were brought, where they are of the axis that is looked along. */
  private here(): Viewer['slices'] | null {
    const { slices, state } = this.viewer;
    return slices.place?.axis === state.get().axis ? slices : null;
  }

  private greys(): Uint32Array | null {
    const { data } = this.viewer;
    const { raster } = this.viewer.slices;
    const { contrast, map } = this.viewer.state.get();
    if (data.classes.length > 0) {
      return classTable(data.classes);
    }
    return raster && contrast && greyTable(raster, contrast[0], contrast[1], map);
  }

  private layers(): Overlay[] {
    const { labels } = this.viewer;
    const overlay = this.here()?.overlay;
    const { axis, index, classes, hidden, opacity, style, prediction } = this.viewer.state.get();
    const found: Overlay[] = [];
    if (overlay && overlay.codes instanceof Uint8Array && opacity.prediction > 0) {
      const made = this.viewer.server.known.get().datasets.value?.find(({ name }) => name === prediction);
      const { codes, height, width } = overlay;
      found.push(
        overlayOf(codes, height, width, made?.classes ?? classes, hidden, opacity.prediction, style)
      );
    }
    const plane = labels?.plane;
    if (plane && plane.axis === axis && plane.index === index && opacity.labels > 0) {
      const { values, height, width } = plane;
      found.push(overlayOf(values, height, width, classes, hidden, opacity.labels, style));
    }
    return found;
  }

  private fit(): void {
    const room = this.canvas.parentElement!;
    const [width, height] = [room.clientWidth, room.clientHeight].map(length =>
      Math.max(1, Math.round(length * window.devicePixelRatio))
    ) as [number, number];
    if (width > 1 && height > 1 && (width !== this.canvas.width || height !== this.canvas.height)) {
      this.canvas.width = width;
      this.canvas.height = height;
      const { view } = this.viewer.state.get();
      this.viewer.look(view ?? fitted(this.viewer.slice, this.size));
    }
  }

  // ------------------------------------------------------------ pointer

  private readonly down = (event: PointerEvent): void => {
    this.canvas.focus({ preventScroll: true });
    const { tool } = this.viewer.state.get();
    const at = this.at(event);
    if (event.button > 1 || (event.button === 0 && !event.isPrimary)) {
      return;
    }
    this.canvas.setPointerCapture(event.pointerId);
    this.last = at;
    if (event.button === 1 || this.panning || tool === 'pan') {
      this.dragging = true;
    } else if (tool === 'pick') {
      this.pick(at);
    } else {
      this.begin(at);
    }
  };

  private readonly move = (event: PointerEvent): void => {
    const { view } = this.viewer.state.get();
    const at = this.at(event);
    this.follow(event);
    if (this.last && view && this.dragging) {
      this.viewer.look(panned(view, this.viewer.slice, at.x - this.last.x, at.y - this.last.y));
      this.last = at;
    } else if (this.brush) {
      // All the places where the pointer was since the last frame: a fast stroke stays round.
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const each of passed.length ? passed : [event]) {
        this.sweep(this.at(each));
      }
    }
  };

  private readonly up = (): void => {
    const { brush, viewer } = this;
    this.dragging = false;
    this.last = null;
    this.brush = null;
    const mask = brush?.mask();
    mask && this.painted && viewer.labels?.commit(this.painted, mask, this.painting);
  };

  private begin(at: Point): void {
    const { labels } = this.viewer;
    const { axis, index, tool, value, onlyUnlabelled } = this.viewer.state.get();
    const plane = labels?.plane;
    if (!plane || plane.axis !== axis || plane.index !== index) {
      return;
    }
    this.painting = tool === 'eraser' ? 0 : value;
    const onto = (before: number): boolean => tool === 'eraser' || !onlyUnlabelled || before === 0;
    this.painted = plane;
    this.brush = new Brushed(plane.values, plane.width, plane.height, this.painting, onto);
    this.sweep(at);
  }

  private sweep(at: Point): void {
    const { view, size } = this.viewer.state.get();
    if (view && this.brush && this.last) {
      const [from, to] = [toSlice(view, this.size, this.last), toSlice(view, this.size, at)];
      const changed = this.brush.sweep(from, to, Math.max(0.5, size / 2));
      changed && this.repaint(changed);
      this.last = at;
    }
  }

  private pick(at: Point): void {
    const { label } = this.under(at) ?? {};
    const found = this.viewer.state.get().classes.find(({ name }) => name === label);
    found && this.viewer.set({ value: found.value, tool: 'brush' });
  }

  private readonly wheel = (event: WheelEvent): void => {
    if (document.activeElement !== this.canvas) {
      return; // the page's own, until somebody clicks here
    }
    event.preventDefault();
    if (this.brush) {
      return; // a stroke is ended first
    }
    const { view, size } = this.viewer.state.get();
    const turn = Math.sign(event.deltaY || event.deltaX);
    if (event.ctrlKey || event.metaKey) {
      const factor = Math.exp(-(event.deltaY || event.deltaX) / 400);
      view && this.viewer.look(zoomed(view, this.viewer.slice, this.size, factor, this.at(event)));
    } else if (event.shiftKey) {
      this.viewer.set({ size: size - turn * Math.max(1, Math.round(size / 8)) });
      this.follow(event);
    } else {
      this.viewer.step(turn);
    }
  };

  private readonly keyDown = (event: KeyboardEvent): void => {
    if (event.key === ' ') {
      this.space(true);
    } else if (this.brush) {
      // A stroke is ended first.
    } else if (event.key === 'Escape') {
      this.canvas.blur();
    } else if (!pressed(this.viewer, event, this.size)) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  private space(down: boolean): void {
    this.panning = down;
    this.canvas.classList.toggle('mlex-mod-panning', down);
  }

  /** Where an event is on the canvas, in its own pixels. */
  private at(event: MouseEvent): Point {
    const { left, top } = this.canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio;
    return { x: (event.clientX - left) * ratio, y: (event.clientY - top) * ratio };
  }

  private follow(event: MouseEvent): void {
    const at = this.at(event);
    const { view, size, tool } = this.viewer.state.get();
    const ratio = window.devicePixelRatio;
    const paints = tool === 'brush' || tool === 'eraser';
    const diameter = view ? Math.max(3, (size * view.scale) / ratio) : 0;
    this.ring.hidden = !paints || this.panning;
    this.ring.style.width = this.ring.style.height = `${diameter}px`;
    this.ring.style.transform = `translate(${at.x / ratio - diameter / 2}px, ${at.y / ratio - diameter / 2}px)`;
    this.told(this.under(at));
  }

  private leave(): void {
    this.ring.hidden = true;
    this.told(null);
  }

  private under(at: Point): Under | null {
    const { view, classes } = this.viewer.state.get();
    const { slice, labels } = this.viewer;
    const raster = this.here()?.raster;
    const place = view && toSlice(view, this.size, at);
    if (!place || place.x < 0 || place.y < 0 || place.x >= slice.width || place.y >= slice.height) {
      return null;
    }
    const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
    const code =
      raster &&
      raster.codes[
        Math.floor((y * raster.height) / slice.height) * raster.width +
          Math.floor((x * raster.width) / slice.width)
      ];
    const painted = labels?.plane?.values[y * slice.width + x];
    return {
      x,
      y,
      value: raster && code !== undefined && code !== null ? valueOf(raster, code) : null,
      label: classes.find(({ value }) => value === painted)?.name ?? null
    };
  }

  private readonly context: CanvasRenderingContext2D;
  private readonly sizes: ResizeObserver;
  private readonly over = new AbortController();
  private colours: Uint32Array | null = null;
  private overlays: Overlay[] = [];
  private dirty: 'all' | Box | null = null;
  private frame: number | null = null;
  private brush: Brushed | null = null;
  private painting = 0;
  /** The slice that the stroke is on. */
  private painted: Plane | null = null;
  private last: Point | null = null;
  private dragging = false;
  private panning = false;
}
