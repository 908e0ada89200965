/** One volume that is looked at and painted on: what is shown, and what a person does with it. */

import type { ClassInfo, Dataset, LabelSet, Problem, SliceBalance } from '@mlex/api';
import { UUID } from '@lumino/coreutils';

import { problemIn } from '../problems';
import type { Server } from '../server';
import { Turns } from '../turns';
import { Watched } from '../watched';
import type { MapName, Style } from './colours';
import { fitted, rasterSize, type Size, type View } from './geometry';
import { Labels } from './labels';
import type { Place } from './raster';
import { Slices } from './slices';

export type Tool = 'pan' | 'brush' | 'eraser' | 'pick';

export interface Looking {
  axis: number;
  index: number;
  /** Null until the canvas knows its size: then the slice is fitted. */
  view: View | null;
  /** The values shown black and white; null until the first slice says what suits. */
  contrast: readonly [number, number] | null;
  map: MapName;
  style: Style;
  opacity: { labels: number; prediction: number };
  hidden: ReadonlySet<number>;
  /** The name of a label set; null where there is none yet. */
  labels: string | null;
  /** The dataset that a prediction made. */
  prediction: string | null;
  classes: readonly ClassInfo[];
  balance: readonly SliceBalance[];
  /** How unsure the prediction is of each slice, and which are worth labelling, the best first. */
  doubts: { slices: readonly { z: number; uncertainty: number }[]; next: readonly number[] } | null;
  tool: Tool;
  value: number;
  /** The diameter of the brush in pixels of the slice. */
  size: number;
  onlyUnlabelled: boolean;
  problem: Problem | null;
  busy: boolean;
}

const START: Looking = {
  axis: 0,
  index: 0,
  view: null,
  contrast: null,
  map: 'grey',
  style: 'fill',
  opacity: { labels: 0.7, prediction: 0.5 },
  hidden: new Set(),
  labels: null,
  prediction: null,
  classes: [],
  balance: [],
  doubts: null,
  tool: 'pan',
  value: 1,
  size: 16,
  onlyUnlabelled: false,
  problem: null,
  busy: false
};
const SUGGESTED = 5;
const BALANCE_AFTER_MS = 800;
export const [SMALLEST, LARGEST] = [1, 400];

export class Viewer {
  readonly state: Watched<Looking>;
  labels: Labels | null = null;
  readonly slices: Slices;

  constructor(
    readonly server: Server,
    readonly data: Dataset,
    known: readonly LabelSet[]
  ) {
    this.state = new Watched<Looking>({ ...START, index: Math.floor(this.depth(0) / 2) }, 'once');
    this.slices = new Slices(
      (name, place, signal) => server.client.datasetRaster(name, place, signal),
      data.name,
      {
        wanted: () => this.place(),
        depth: axis => this.depth(axis),
        brought: () => this.brought(),
        problem: problem => this.problem(problem)
      }
    );
    const newest = [...known].sort((a, b) => a.created.localeCompare(b.created)).pop();
    const middle = newest?.slices[Math.floor(newest.slices.length / 2)];
    middle !== undefined && this.state.set({ index: middle });
    newest && void this.openLabels(newest.name);
  }

  /** Pixels on the screen are others now: which, the canvas knows. */
  onRepaint: (what: 'all' | 'labels') => void = () => undefined;

  depth(axis: number): number {
    return this.lengths()[axis] ?? 1;
  }

  /** Of the present slice, in pixels. */
  get slice(): Size {
    const [z, y, x] = this.lengths();
    return [
      { width: x, height: y },
      { width: x, height: z },
      { width: y, height: z }
    ][this.state.get().axis]!;
  }

  /** Bring the present slice onto the screen; what was on it stays until then. */
  show(): Promise<void> {
    return this.slices.show();
  }

  go(index: number): void {
    const { axis } = this.state.get();
    const at = Math.max(0, Math.min(this.depth(axis) - 1, Math.round(index)));
    if (at !== this.state.get().index) {
      this.state.set({ index: at });
      void this.show();
      void this.showLabels();
    }
  }

  step(by: number): void {
    this.go(this.state.get().index + by);
  }

  across(axis: number, canvas: Size): void {
    if (axis !== this.state.get().axis) {
      this.state.set({ axis, index: Math.floor(this.depth(axis) / 2) });
      this.state.set({ view: fitted(this.slice, canvas) });
      void this.show();
      void this.showLabels();
    }
  }

  /** To the next slice that has labels, or the one before. */
  labelled(direction: 1 | -1): void {
    const { axis, index, balance } = this.state.get();
    const slices = axis === 0 ? balance.map(({ z }) => z) : [];
    const next = direction > 0 ? slices.find(z => z > index) : slices.filter(z => z < index).pop();
    next !== undefined && this.go(next);
  }

  look(view: View): void {
    const before = this.state.get().view;
    this.state.set({ view });
    this.onRepaint('all');
    if (before === null || rasterSize(this.slice, before.scale) !== rasterSize(this.slice, view.scale)) {
      void this.show();
    }
  }

  auto(): void {
    const { raster } = this.slices;
    raster && this.state.set({ contrast: [raster.dark, raster.bright] });
    this.onRepaint('all');
  }

  /** What changes how things look, and nothing else. */
  set(
    change: Partial<
      Pick<
        Looking,
        'contrast' | 'map' | 'style' | 'opacity' | 'hidden' | 'tool' | 'value' | 'size' | 'onlyUnlabelled'
      >
    >
  ): void {
    const size = Math.max(SMALLEST, Math.min(LARGEST, Math.round(change.size ?? this.state.get().size)));
    this.state.set({ ...change, size });
    this.onRepaint('all');
  }

  showPrediction(name: string | null): void {
    this.state.set({ prediction: name, doubts: null });
    void this.slices.layOver(name);
    name === null || void this.doubt(name);
  }

  /** To the next of the slices that are worth labelling. */
  suggested(): void {
    const { axis, index, doubts } = this.state.get();
    const next = doubts?.next ?? [];
    const place = next[(next.indexOf(index) + 1) % Math.max(1, next.length)];
    axis === 0 && place !== undefined && this.go(place);
  }

  // ------------------------------------------------------------ labels

  async openLabels(name: string): Promise<void> {
    const labels = new Labels(this.server.client, this.data.name, name, this.window, () =>
      this.onRepaint('labels')
    );
    try {
      const draft = await labels.open();
      this.labels = labels;
      const value = draft.classes[0]?.value ?? 1;
      this.state.set({ labels: name, classes: draft.classes, value, problem: null });
      labels.saving.subscribe(() => this.count());
      await Promise.all([this.showLabels(), this.countNow()]);
    } catch (error) {
      this.problem(problemIn(error));
    }
  }

  /** Begin a label set with these classes. */
  async newLabels(name: string, classes: readonly string[]): Promise<void> {
    await this.attempt(async () => {
      await this.server.client.post('/datasets/{data}/labels/new', {
        path: { data: this.data.name },
        body: { name, class_names: [...classes] }
      });
      await this.server.refresh('datasets');
      await this.openLabels(name);
      this.set({ tool: 'brush' });
    });
  }

  async addClass(name: string): Promise<void> {
    const { labels, classes } = this.state.get();
    await this.attempt(async () => {
      const path = { data: this.data.name, labels: labels ?? '' };
      const draft = await this.server.client.post('/datasets/{data}/labels/{labels}/classes', {
        path,
        body: { classes: [...classes], class_names: [name] }
      });
      const added = draft.classes.find(each => each.name === name);
      this.state.set({ classes: draft.classes, value: added?.value ?? this.state.get().value });
    });
  }

  async takeBack(kind: 'undo' | 'redo'): Promise<void> {
    await this.labels?.[kind]();
  }

  problem(problem: Problem | null): void {
    this.state.get().problem === problem || this.state.set({ problem });
  }

  /** Have the browser ask before a page is closed whose last strokes have not arrived; returns how to end that. */
  keepUntilSaved(): () => void {
    const ask = (event: BeforeUnloadEvent): void => {
      if (this.labels && !this.labels.idle) {
        event.preventDefault();
      }
    };
    window.addEventListener('beforeunload', ask);
    return () => window.removeEventListener('beforeunload', ask);
  }

  private showLabels(): Promise<void> {
    return this.turns.take('labels', async () => {
      const { axis, index } = this.state.get();
      try {
        await this.labels?.show(axis, index);
      } catch (error) {
        this.problem(problemIn(error));
      }
    });
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    this.state.set({ busy: true });
    try {
      await work();
    } catch (error) {
      this.problem(problemIn(error));
    } finally {
      this.state.set({ busy: false });
    }
  }

  /** Count again what is labelled, soon after something was saved. */
  private count(): void {
    clearTimeout(this.counting);
    this.counting = setTimeout(() => void this.countNow(), BALANCE_AFTER_MS);
  }

  private async countNow(): Promise<void> {
    const { labels } = this.state.get();
    if (labels !== null) {
      const path = { data: this.data.name, labels };
      const balance = await this.server.client
        .get('/datasets/{data}/labels/{labels}/balance', { path, query: {} })
        .catch(() => null);
      balance && this.state.set({ balance });
    }
  }

  /** Ask how sure the run was that made a prediction; what no run of ours made has no doubts. */
  private async doubt(name: string): Promise<void> {
    const made = (this.server.known.get().jobs.value ?? []).find(({ outputs }) =>
      outputs.some(output => output.kind === 'dataset' && output.name === name)
    );
    if (made === undefined) {
      return;
    }
    const path = { run: made.id };
    const [found, worth] = await Promise.all([
      this.server.client.get('/jobs/{run}/segmented', { path }).catch(() => null),
      this.server.client.get('/jobs/{run}/suggestions', { path, query: { count: SUGGESTED } }).catch(() => [])
    ]);
    if (found && this.state.get().prediction === name) {
      this.state.set({ doubts: { slices: found.slices, next: worth.map(({ z }) => z) } });
    }
  }

  private place(): Place {
    const { axis, index, view } = this.state.get();
    return { axis, index, size: rasterSize(this.slice, view?.scale ?? 1) };
  }

  private brought(): void {
    const { raster } = this.slices;
    const { contrast } = this.state.get();
    this.state.set({ contrast: contrast ?? (raster && [raster.dark, raster.bright]) });
    this.onRepaint('all');
  }

  /** z, y and x. */
  private lengths(): [number, number, number] {
    const { axes, shape } = this.data;
    const of = (letter: string): number => (axes.includes(letter) ? (shape[axes.indexOf(letter)] ?? 1) : 1);
    return [of('z'), of('y'), of('x')];
  }

  private readonly window = UUID.uuid4();
  private readonly turns = new Turns();
  private counting: ReturnType<typeof setTimeout> | undefined;
}
