/** What a person can do from the panel: each asks the server, and shows what goes wrong where it was asked. */

import type { Dataset, Job, Problem, ZooEntry } from '@mlex/api';

import { choose, entryKey, trainWish } from './choice';
import type { Values } from './form';
import { Keys } from './keys';
import { problemIn } from './problems';
import type { Watched } from './watched';
import type { Place, Screen } from './screen';
import type { Server, Wish } from './server';
import { stopping } from './words';

/** The questions that the screen asks a person, with JupyterLab's own dialogs. */
export interface Asks {
  text(title: string, label: string, proposal: string, button: string): Promise<string | null>;
  yes(title: string, body: string, button: string): Promise<boolean>;
}

/** Where the screen goes. */
export interface Pages {
  openRun(run: string): void;
  openRunMenu(job: Job, x: number, y: number): void;
  openViewer(data: string): void;
  openTrain(): void;
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

  /** Look at a dataset, and paint on it. */
  openViewer(data: string): void {
    this.pickData(data);
    this.pages.openViewer(data);
  }

  /** Have the form ready for what was just painted. */
  trainOn(data: string, labels: string): void {
    this.screen.set({ data, labels });
    this.pages.openTrain();
  }

  /** Ask a person for a word; null where there is none. */
  ask(title: string, label: string, proposal: string, button: string): Promise<string | null> {
    return this.asks.text(title, label, proposal, button);
  }

  async makeSample(): Promise<void> {
    await this.attempt('data', 'sample', 'Making the sample tomogram', () => this.server.makeSample());
  }

  async addData(): Promise<void> {
    const path = await this.asks.text(
      'Add data',
      'Path or URL of a zarr, HDF5, TIFF or NumPy volume',
      '',
      'Add'
    );
    if (path) {
      const dataset = await this.attempt('data', `add ${path}`, `Reading ${path}`, () =>
        this.server.register(path)
      );
      dataset && this.pickData(dataset.name);
    }
  }

  pickData(name: string): void {
    this.screen.set({ data: name, labels: null });
  }

  /** Take an architecture; of a published model, the architecture and the settings it was trained with. */
  async pickModel(entry: ZooEntry): Promise<void> {
    const model = entryKey(entry);
    const picked = (): boolean => this.screen.get().model === model;
    this.tell('models', null);
    this.screen.set({ model, preset: null, typed: {}, given: entry.kind === 'model' ? null : {} });
    if (entry.kind === 'model') {
      try {
        const { params } = await this.server.model(entry.name, entry.version ?? null);
        picked() && this.screen.set({ given: params as Values });
      } catch (error) {
        picked() && this.tell('models', problemIn(error));
      }
    }
  }

  async train(): Promise<void> {
    const choice = choose(this.server.known.get(), this.screen.get());
    if (choice.missing === null) {
      const job = await this.submit('train', 'train', trainWish(choice, this.screen.get()));
      job && this.screen.set({ name: null, run: job.id });
    }
  }

  async predictPublished(entry: ZooEntry, data: Dataset): Promise<void> {
    const { name, version } = entry;
    const task = { kind: 'predict' as const, model: name, version: version ?? null, data: data.name };
    await this.submit('runs', `predict ${entryKey(entry)}`, { task, target: this.screen.get().target });
  }

  /** Segment the data that a run was trained on. */
  async predictRun(job: Job): Promise<void> {
    if (job.spec.task.kind === 'train') {
      const task = { kind: 'predict' as const, model: job.id, version: null, data: job.spec.task.data };
      await this.submit('runs', `predict ${job.id}`, { task, target: this.screen.get().target });
    }
  }

  async cancel(job: Job): Promise<void> {
    await this.attempt('runs', `cancel ${job.id}`, null, () => this.server.cancel(job.id));
  }

  async cancelIfMeant(job: Job): Promise<void> {
    const running = job.state === 'running';
    const body = running ? stopping(job) : 'It has not started yet.';
    const verb = running ? 'Stop' : 'Cancel';
    if (await this.asks.yes(`${verb} ${job.name}?`, body, running ? 'Stop' : 'Cancel run')) {
      await this.cancel(job);
    }
  }

  async resume(job: Job): Promise<void> {
    await this.attempt('runs', `resume ${job.id}`, null, () => this.server.resume(job.id));
  }

  async publish(job: Job): Promise<void> {
    const name = await this.asks.text(`Publish ${job.name}`, 'Name in the model zoo', job.name, 'Publish');
    if (name) {
      await this.attempt('runs', `publish ${job.id}`, `Publishing ${name}`, () =>
        this.server.publish(job.id, name)
      );
    }
  }

  dismiss(place: Place): void {
    this.tell(place, null);
    this.keys.forget();
  }

  private async submit(place: Place, what: string, wish: Wish): Promise<Job | null> {
    const doing = place === 'train' ? 'Starting the training' : null;
    const job = await this.attempt(place, what, doing, () => this.server.submit(wish, this.keys.of(wish)));
    job && this.keys.answered(wish);
    return job;
  }

  /** Do it, saying meanwhile what is being done and afterwards what went wrong. Two clicks are one. */
  private async attempt<T>(
    place: Place,
    what: string,
    doing: string | null,
    work: () => Promise<T>
  ): Promise<T | null> {
    const { underWay } = this.screen.get();
    if (underWay.includes(what)) {
      return null;
    }
    this.tell(place, null);
    this.screen.set({ underWay: [...underWay, what], doing: { ...this.screen.get().doing, [place]: doing } });
    try {
      return await work();
    } catch (error) {
      this.tell(place, problemIn(error));
      return null;
    } finally {
      const { underWay: all, doing: before } = this.screen.get();
      this.screen.set({ underWay: all.filter(each => each !== what), doing: { ...before, [place]: null } });
    }
  }

  private tell(place: Place, problem: Problem | null): void {
    this.screen.set({ troubles: { ...this.screen.get().troubles, [place]: problem } });
  }

  private readonly keys = new Keys();
}
