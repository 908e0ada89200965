/** The labels of one set: a slice of them to paint on, and strokes on their way to the server, one after the other. */

import { type Client, type Draft, type LabelSlice, ProblemError, type Problem, type Stroke } from '@mlex/api';
import { UUID } from '@lumino/coreutils';

import { problemIn } from '../problems';
import { Watched } from '../watched';
import type { Mask } from './brush';

/** A slice of labels as it is on the screen. */
export interface Plane {
  axis: number;
  index: number;
  height: number;
  width: number;
  values: Uint8Array;
  /** The draft's number when this was read; what was painted here since is in `versions`. */
  number: number;
  versions: Map<string, { z: number; row: number; column: number; version: number }>;
}

export interface Saving {
  state: 'saved' | 'saving' | 'waiting' | 'refused';
  /** When something was saved last. */
  at: number | null;
  undo: number;
  redo: number;
  problem: Problem | null;
  /** The number of a stroke that was refused, as somebody painted there meanwhile. */
  refused: number | null;
}

interface Pending {
  plane: Plane;
  stroke: Stroke;
}

const AGAIN_MS = 2000;
/** The engine has judged a stroke; any other trouble (no login, a full disk) may pass, and the stroke waits for that. */
const DECIDED: ReadonlySet<string> = new Set(['conflict', 'invalid', 'not_found']);

export class Labels {
  readonly saving = new Watched<Saving>(
    { state: 'saved', at: null, undo: 0, redo: 0, problem: null, refused: null },
    'once'
  );

  /** `changed`: the labels on the screen are others now. */
  constructor(
    private readonly client: Client,
    readonly data: string,
    readonly name: string,
    private readonly window: string,
    private readonly changed: () => void
  ) {}

  plane: Plane | null = null;
  draft: Draft | null = null;

  async open(): Promise<Draft> {
    const path = { data: this.data, labels: this.name };
    this.draft = await this.client.get('/datasets/{data}/labels/{labels}/draft', {
      path,
      query: { window: this.window }
    });
    this.saving.set({ undo: this.draft.undo, redo: this.draft.redo });
    return this.draft;
  }

  /** Read a slice, when all that was painted has arrived. */
  async show(axis: number, index: number): Promise<void> {
    const turn = ++this.turn;
    const path = { data: this.data, labels: this.name };
    let [plane, painted]: [Plane | null, number] = [null, -1];
    while (turn === this.turn && painted !== this.painted) {
      painted = this.painted; // what is painted while this is read is not in it: then it is read again
      await this.settled();
      const slice = await this.client.get('/datasets/{data}/labels/{labels}/slice', {
        path,
        query: { axis, index }
      });
      plane = await planeOf(slice);
    }
    if (turn === this.turn) {
      this.plane = plane;
      this.changed();
    }
  }

  /** Save what was painted on a slice, which need not be the present one any more. */
  commit(plane: Plane, { row, column, height, width, runs }: Mask, value: number): void {
    const patch = { axis: plane.axis, index: plane.index, row, column, height, width, value, runs };
    const stroke = { patches: [patch], tiles: [], key: UUID.uuid4(), window: this.window };
    this.queue.push({ plane, stroke: stroke as unknown as Stroke });
    this.painted += 1;
    const { axis, index } = plane;
    if (this.plane !== plane && this.plane?.axis === axis && this.plane.index === index) {
      void this.show(axis, index).catch(() => undefined); // it was read anew meanwhile, without this stroke
    }
    void this.pump();
  }

  undo(): Promise<void> {
    return this.turnBack('undo');
  }

  redo(): Promise<void> {
    return this.turnBack('redo');
  }

  /** Paint a stroke that was refused over what is there now, or forget it. */
  async settle(how: 'again' | 'drop'): Promise<void> {
    const stroke = this.saving.get().refused;
    if (stroke !== null) {
      const given = { path: { data: this.data, labels: this.name, stroke } };
      try {
        await (how === 'again'
          ? this.client.post('/datasets/{data}/labels/{labels}/strokes/{stroke}/again', given)
          : this.client.post('/datasets/{data}/labels/{labels}/strokes/{stroke}/drop', given));
        this.saving.set({ state: 'saved', at: Date.now(), problem: null, refused: null });
      } catch (error) {
        this.saving.set({ problem: problemIn(error) });
      }
      await this.again();
    }
  }

  /** Nothing is on its way any more. */
  get idle(): boolean {
    return this.queue.length === 0;
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    while (!this.idle) {
      await this.pump();
    }
  }

  private async turnBack(kind: 'undo' | 'redo'): Promise<void> {
    await this.settled();
    const path = { data: this.data, labels: this.name };
    const body = { window: this.window, key: UUID.uuid4() };
    try {
      const painted = await (kind === 'undo'
        ? this.client.post('/datasets/{data}/labels/{labels}/undo', { path, body })
        : this.client.post('/datasets/{data}/labels/{labels}/redo', { path, body }));
      this.saving.set({
        state: 'saved',
        at: Date.now(),
        undo: painted.undo,
        redo: painted.redo,
        problem: null
      });
    } catch (error) {
      this.saving.set({ problem: problemIn(error) });
    }
    await this.again();
  }

  /** Read the present slice anew. */
  private async again(): Promise<void> {
    if (this.plane !== null) {
      await this.show(this.plane.axis, this.plane.index);
    }
  }

  private pump(): Promise<void> {
    this.pumping ??= this.send().finally(() => (this.pumping = null));
    return this.pumping;
  }

  /** Send one after the other; the same stroke again, until there is an answer: its key makes it one. */
  private async send(): Promise<void> {
    for (let next = this.queue[0]; next; next = this.queue[0]) {
      this.saving.set({ state: 'saving' });
      try {
        await this.sendOne(next);
        this.queue.shift();
      } catch (error) {
        const problem = problemIn(error);
        if (!(error instanceof ProblemError) || !DECIDED.has(problem.code)) {
          this.saving.set({ state: 'waiting', problem });
          await new Promise(resolve => setTimeout(resolve, AGAIN_MS));
          continue;
        }
        this.queue.shift();
        const refused = problem.details?.['stroke'];
        this.saving.set({ state: 'refused', problem, refused: typeof refused === 'number' ? refused : null });
        this.plane === next.plane && void this.again();
      }
    }
  }

  private async sendOne({ plane, stroke }: Pending): Promise<void> {
    const painted = await this.client.post('/datasets/{data}/labels/{labels}/strokes', {
      path: { data: this.data, labels: this.name },
      body: { ...stroke, tiles: [...plane.versions.values()], as_of: plane.number }
    });
    for (const { z, row, column, version } of painted.tiles) {
      plane.versions.set(`${z} ${row} ${column}`, { z, row, column, version });
    }
    const { undo, redo } = painted;
    const refused = this.saving.get().refused;
    this.saving.set({
      state: refused === null ? 'saved' : 'refused',
      at: Date.now(),
      undo,
      redo,
      ...(refused === null ? { problem: null } : {})
    });
  }

  private readonly queue: Pending[] = [];
  private pumping: Promise<void> | null = null;
  private turn = 0;
  private painted = 0;
}

export async function planeOf(slice: LabelSlice): Promise<Plane> {
  const { axis, index, height, width, tile, number } = slice;
  const values = new Uint8Array(height * width);
  const versions: Plane['versions'] = new Map();
  await Promise.all(
    slice.blocks.map(async block => {
      const [top, left] = [block.row * tile, block.column * tile];
      const [rows, columns] = [Math.min(tile, height - top), Math.min(tile, width - left)];
      const bytes = await inflated(block.values);
      for (let row = 0; row < rows; row++) {
        values.set(bytes.subarray(row * columns, (row + 1) * columns), (top + row) * width + left);
      }
    })
  );
  return { axis, index, height, width, values, number, versions };
}

async function inflated(text: string): Promise<Uint8Array> {
  const packed = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
