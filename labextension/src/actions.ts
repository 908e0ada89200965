/** What a person can do from the panel: each asks the server, and shows what goes wrong where it was asked. */

import type { Dataset, Job, Problem, ZooEntry } from '@mlex/api';
import { UUID } from '@lumino/coreutils';

import { choose, entryKey, trainWish } from './choice';
import type { Values } from './form';
import { problemIn } from './problems';
import type { Watched } from './watched';
import type { Place, Screen } from './screen';
import type { Server, Wish } from './server';

/** The questions that the screen asks a person, with JupyterLab's own dialogs. */
export interface Asks {
  text(title: string, label: string, proposal: string, button: string): Promise<string | null>;
  yes(title: string, body: string, button: string): Promise<boolean>;
}

/** Where the screen goes. */
export interface Pages {
  openRun(run: string): void;
  openRunMenu(job: Job, x: number, y: number): void;
}

export class Actions {
  constructor(
    private readonly server: Server,
    private readonly screen: Watched<Screen>,
    private readonly asks: Asks,
    private readonly pages: Pages
  ) {}

  /** Open a run's page. */
  openRun(run: string): void {
    this.screen.set({ run });
    this.pages.openRun(run);
  }

  openRunMenu(job: Job, x: number, y: number): void {
    this.screen.set({ run: job.id });
    this.pages.openRunMenu(job, x, y);
  }

  async makeSample(): Promise<void> {
    await this.attempt('data', 'Making the sample tomogram', () => this.server.makeSample());
  }

  async addData(): Promise<void> {
    const path = await this.asks.text('Add data', 'Path of a zarr, NumPy or TIFF volume', '', 'Add');
    if (path) {
      const dataset = await this.attempt('data', `Reading ${path}`, () => this.server.register(path));
      dataset && this.pickData(dataset.name);
    }
  }

  pickData(name: string): void {
    this.screen.set({ data: name, labels: null });
  }

  /** Take an architecture; of a published model, the architecture and the settings it was trained with. */
  async pickModel(entry: ZooEntry): Promise<void> {
    this.screen.set({ model: entryKey(entry), typed: {}, given: {} });
    if (entry.kind === 'model') {
      const model = await this.attempt('models', null, () =>
        this.server.model(entry.name, entry.version ?? null)
      );
      model && this.screen.set({ given: model.params as Values });
    }
  }

  async train(): Promise<void> {
    const choice = choose(this.server.known.get(), this.screen.get());
    if (choice.missing === null) {
      const wish = this.keyed(trainWish(choice, this.screen.get(), UUID.uuid4()));
      const job = await this.attempt('train', `Starting ${choice.name}`, () => this.server.submit(wish));
      if (job) {
        this.unanswered = null;
        this.screen.set({ name: null, run: job.id });
      }
    }
  }

  async predict(model: string, version: number | null, data: string): Promise<void> {
    const task = { kind: 'predict' as const, model, version, data };
    const { target } = this.screen.get();
    await this.attempt('runs', null, () => this.server.submit({ task, target, key: UUID.uuid4() }));
  }

  async predictPublished(entry: ZooEntry, data: Dataset): Promise<void> {
    await this.predict(entry.name, entry.version ?? null, data.name);
  }

  /** Segment the data that a run was trained on. */
  async predictRun(job: Job): Promise<void> {
    if (job.spec.task.kind === 'train') {
      await this.predict(job.id, null, job.spec.task.data);
    }
  }

  async cancel(job: Job): Promise<void> {
    await this.attempt('runs', null, () => this.server.cancel(job.id));
  }

  async cancelIfMeant(job: Job): Promise<void> {
    const running = job.state === 'running';
    const body = running
      ? 'What it has learned so far is kept; it can be resumed.'
      : 'It has not started yet.';
    const verb = running ? 'Stop' : 'Cancel';
    if (await this.asks.yes(`${verb} ${job.name}?`, body, running ? 'Stop & keep best' : 'Cancel run')) {
      await this.cancel(job);
    }
  }

  async resume(job: Job): Promise<void> {
    await this.attempt('runs', null, () => this.server.resume(job.id));
  }

  async publish(job: Job): Promise<void> {
    const name = await this.asks.text(`Publish ${job.name}`, 'Name in the model zoo', job.name, 'Publish');
    if (name) {
      await this.attempt('runs', `Publishing ${name}`, () => this.server.publish(job.id, name));
    }
  }

  dismiss(place: Place): void {
    this.tell(place, null);
  }

  /** Do it, saying meanwhile what is being done and afterwards what went wrong. */
  private async attempt<T>(place: Place, doing: string | null, work: () => Promise<T>): Promise<T | null> {
    this.tell(place, null);
    this.screen.set({ doing: { ...this.screen.get().doing, [place]: doing } });
    try {
      return await work();
    } catch (error) {
      this.tell(place, problemIn(error));
      return null;
    } finally {
      this.screen.set({ doing: { ...this.screen.get().doing, [place]: null } });
    }
  }

  private tell(place: Place, problem: Problem | null): void {
    this.screen.set({ troubles: { ...this.screen.get().troubles, [place]: problem } });
  }

  /** The same wish again, because its answer was lost, keeps its key: then it is still one job. */
  private keyed(wish: Wish): Wish {
    const before = this.unanswered;
    const again =
      before !== null && JSON.stringify({ ...before, key: '' }) === JSON.stringify({ ...wish, key: '' });
    return (this.unanswered = again ? before : wish);
  }

  private unanswered: Wish | null = null;
}
