/** The server as the panel sees it: asks, listens to its events, and keeps `known` true. */

import {
  Client,
  ProblemError,
  type Connection,
  type Dataset,
  type Event,
  type Job,
  type LabelSet,
  type LogChunk,
  type Model,
  type Problem,
  type Transport
} from '@mlex/api';
import { Signal, type ISignal } from '@lumino/signaling';

import { progressIn } from './curve';
import { Histories } from './histories';
import { LISTS, NOTHING, type Known, type ListName } from './known';
import { problemIn } from './problems';
import { Runs } from './runs';
import { SharedStream } from './tabs';
import { Turns } from './turns';
import { Watched } from './watched';

const START_AGAIN_MS = 3000;

/** How many runs are listed; those that have not ended are, however old they are. */
const NEWEST = 200;
const ALL = 1000;

type Task = Job['spec']['task'];

/** What the person asked for; the rest of a JobSpec is the server's defaults. */
export interface Wish {
  task: Task;
  name?: string;
  target?: string;
}

export class Server {
  readonly known = new Watched<Known>(NOTHING, 'frame');

  /** `address` is the server's, which tells it apart from others that the same browser may have open. */
  constructor(
    transport: Transport,
    private readonly address: string
  ) {
    this.client = new Client(transport);
    this.histories = new Histories(this.client, this.known);
    this.stream = new SharedStream(
      transport,
      {
        events: events => this.take(events),
        connection: connection => this.connected(connection)
      },
      (after, limit) => this.client.get('/events', { query: { after, limit } })
    );
  }

  /** A job that ended while this page watched. */
  get ended(): ISignal<this, Job> {
    return this._ended;
  }

  /** Ask for everything once; from then on the events say what changed. */
  async start(): Promise<void> {
    if (this.starting) {
      return;
    }
    this.starting = true;
    try {
      const hello = await this.client.get('/hello', {});
      this.known.set({ hello });
      this.stream.start(hello.last_event, `${this.address} ${hello.home} ${hello.user}`);
      await this.refreshAll();
    } catch (error) {
      const problem = problemIn(error);
      this.refuse(problem);
      if (!(error instanceof ProblemError) || problem.transient) {
        this.lost ??= Date.now();
        this.known.set({
          connection: { status: 'offline', since: this.lost, retry: Date.now() + START_AGAIN_MS }
        });
        this.again = setTimeout(() => void this.start(), START_AGAIN_MS);
      }
    } finally {
      this.starting = false;
    }
  }

  /** Try now to reach the server that was lost. */
  retryNow(): void {
    if (this.known.get().hello === null) {
      clearTimeout(this.again);
      void this.start();
    } else {
      this.stream.retryNow();
    }
  }

  /** The network came back, or somebody looks at the page again: is the server still there? */
  readonly wake = (): void => {
    if (this.known.get().hello !== null) {
      this.stream.check();
    }
  };

  async refreshAll(): Promise<void> {
    await Promise.all(LISTS.map(name => this.refresh(name)));
  }

  /** Ask for one list anew; asked again meanwhile, it is asked once more afterwards. */
  refresh(name: ListName): Promise<void> {
    return this.turns.take(name, () => (name === 'jobs' ? this.askForRuns() : this.ask(name)));
  }

  /** An old value stays on the screen when asking fails. */
  private async ask(name: Exclude<ListName, 'jobs'>): Promise<void> {
    try {
      const value = await this.lists[name]();
      this.known.set({ [name]: { value, problem: null } });
      if (name === 'datasets') {
        await this.refreshLabels(value as readonly Dataset[]);
      }
    } catch (error) {
      this.known.set({ [name]: { value: this.known.get()[name].value, problem: problemIn(error) } });
    }
  }

  private async askForRuns(): Promise<void> {
    const number = this.runs.asking();
    const list = (state: Job['state'] | null): Promise<readonly Job[]> =>
      this.client.get('/jobs', { query: { state, limit: state ? ALL : NEWEST } });
    try {
      const lists = await Promise.all(([null, 'waiting', 'queued', 'running'] as const).map(list));
      this.hear(lists.flat(), number);
    } catch (error) {
      this.known.set({ jobs: { ...this.known.get().jobs, problem: problemIn(error) } });
    }
  }

  /** Have a run among those that are known, however old it is. */
  async find(run: string): Promise<void> {
    const number = this.runs.asking();
    this.hear([await this.client.get('/jobs/{run}', { path: { run } })], number);
  }

  /** Have a run's curve, from its first event on, and keep it growing. */
  watch(run: string): void {
    this.histories.watch(run);
  }

  // ------------------------------------------------------------ what a person can do

  /** `key`: sent again with the same one, because its answer was lost, a wish is still one job. */
  async submit(wish: Wish, key: string): Promise<Job> {
    return this.answered(this.client.post('/jobs', { body: { ...wish, key } }));
  }

  async cancel(run: string): Promise<Job> {
    return this.answered(this.client.post('/jobs/{run}/cancel', { path: { run } }));
  }

  async resume(run: string): Promise<Job> {
    return this.answered(this.client.post('/jobs/{run}/resume', { path: { run } }));
  }

  async publish(run: string, name: string): Promise<Model> {
    const model = await this.client.post('/models', { body: { run, name } });
    await this.refresh('models');
    return model;
  }

  async makeSample(): Promise<void> {
    await this.client.post('/sample', { body: {} });
    await this.refresh('datasets');
  }

  async register(path: string): Promise<Dataset> {
    const dataset = await this.client.post('/datasets', { body: { path } });
    await this.refresh('datasets');
    return dataset;
  }

  log(run: string, offset: number): Promise<LogChunk> {
    return this.client.get('/jobs/{run}/log', { path: { run }, query: { offset } });
  }

  model(name: string, version: number | null): Promise<Model> {
    return this.client.get('/models/{name}', { path: { name }, query: { version } });
  }

  readonly datasetPicture = (
    name: string,
    query: { axis?: number; index?: number; size?: number }
  ): Promise<Blob> => this.client.datasetPicture(name, query);

  readonly runPicture = (run: string, epoch?: number): Promise<Blob> =>
    this.client.runPicture(run, { epoch });

  job(id: string): Job | undefined {
    return this.known.get().jobs.value?.find(job => job.id === id);
  }

  // ------------------------------------------------------------ what happens meanwhile

  private take(events: readonly Event[]): void {
    this.histories.take(events);
    const kinds = new Set(events.map(event => event.kind));
    const stale = new Set([...kinds].flatMap(kind => STALE[kind] ?? []));
    stale.forEach(name => void this.refresh(name));
    const moved = events.filter(event => event.kind === 'state' || event.kind === 'submitted');
    new Set(moved.map(event => event.subject)).forEach(
      run => void this.turns.take(run, () => this.look(run))
    );
    this.advance(events);
  }

  /** Progress is shown at once, without asking. */
  private advance(events: readonly Event[]): void {
    const news = new Map(
      events
        .filter(event => event.kind === 'progress')
        .map(event => [event.subject, progressIn(event.values)])
    );
    const jobs = this.known.get().jobs;
    if (news.size > 0 && jobs.value) {
      const value = jobs.value.map(job => {
        const progress = news.get(job.id);
        return progress ? { ...job, progress } : job;
      });
      this.known.set({ jobs: { ...jobs, value } });
    }
  }

  /** Ask how a job stands. */
  private async look(run: string): Promise<void> {
    try {
      await this.find(run);
    } catch (error) {
      this.known.set({ jobs: { ...this.known.get().jobs, problem: problemIn(error) } });
    }
  }

  /** What a request has made of a job. */
  private async answered(answer: Promise<Job>): Promise<Job> {
    const number = this.runs.asking();
    const job = await answer;
    this.hear([job], number);
    return job;
  }

  private hear(told: readonly Job[], number: number): void {
    const { runs, ended } = this.runs.hear(this.known.get().jobs.value ?? [], told, number);
    this.known.set({ jobs: { value: runs, problem: null } });
    this.watchRunning(told);
    ended.forEach(job => this._ended.emit(job));
  }

  private watchRunning(jobs: readonly Job[]): void {
    jobs
      .filter(job => job.state === 'running' && ['train', 'pretrain'].includes(job.spec.task.kind))
      .forEach(job => this.watch(job.id));
  }

  private connected(connection: Connection): void {
    const back = this.known.get().connection.status === 'offline' && connection.status === 'live';
    this.known.set({ connection });
    if (connection.status === 'live') {
      this.lost = null;
      this.histories.refill();
    }
    if (back) {
      void this.checkIdentity();
    }
  }

  /** After a loss: what no event tells (cores that are free) is asked for; another home means starting over. */
  private async checkIdentity(): Promise<void> {
    const seen = this.stream.last; // before asking: meanwhile more may come
    try {
      const hello = await this.client.get('/hello', {});
      if (hello.home !== this.known.get().hello?.home || hello.last_event < seen) {
        this.stream.stop();
        this.histories.clear();
        this.known.set({ ...NOTHING });
        await this.start();
      } else {
        this.known.set({ hello });
        await this.refreshAll();
      }
    } catch (error) {
      this.refuse(problemIn(error));
    }
  }

  private async refreshLabels(datasets: readonly Dataset[]): Promise<void> {
    const labels: Record<string, readonly LabelSet[]> = {};
    const waiting = [...datasets];
    const ask = async (): Promise<void> => {
      for (let data = waiting.shift(); data; data = waiting.shift()) {
        labels[data.name] = await this.client.get('/datasets/{data}/labels', { path: { data: data.name } });
      }
    };
    await Promise.all([ask(), ask(), ask()]); // a browser has six connections to a host; others need some too
    this.known.set({ labels });
  }

  private refuse(problem: Problem): void {
    for (const name of LISTS) {
      this.known.set({ [name]: { value: this.known.get()[name].value, problem } });
    }
  }

  /** For what is asked for one place on the screen alone: slices, strokes. */
  readonly client: Client;
  private readonly histories: Histories;
  private readonly stream: SharedStream;
  private readonly lists = {
    datasets: async () => imagesFirst(await this.client.get('/datasets', {})),
    models: () => this.client.get('/models', {}),
    architectures: () => this.client.get('/architectures', {}),
    targets: () => this.client.get('/targets', {})
  };
  private readonly turns = new Turns();
  private readonly runs = new Runs();
  private readonly _ended = new Signal<this, Job>(this);
  private starting = false;
  private lost: number | null = null;
  private again: ReturnType<typeof setTimeout> | undefined;
}

/** What one trains on before what was made of it; each as the server has it, the newest first. */
function imagesFirst(datasets: readonly Dataset[]): Dataset[] {
  const made = (data: Dataset): boolean => data.classes.length > 0;
  return [...datasets.filter(data => !made(data)), ...datasets.filter(made)];
}

/** Which list an event makes old. */
const STALE: Readonly<Record<string, readonly ListName[]>> = {
  dataset: ['datasets'],
  labels: ['datasets'],
  model: ['models'],
  submitted: ['targets'],
  state: ['targets']
};
