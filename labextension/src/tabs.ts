/**
 * The events for all tabs of a browser over one WebSocket: the tab that holds a lock listens to the server and passes
 * on what it hears. When it goes, the lock is another tab's, which listens on after the last event that it has seen.
 */

import { EventStream, type Connection, type Event, type Listener, type Transport } from '@mlex/api';

/** What the tabs say to each other. */
type Message =
  | { kind: 'who' }
  | { kind: 'retry' }
  | { kind: 'stand'; last: number; connection: Connection }
  | { kind: 'events'; after: number; events: readonly Event[] };

/** What the browser has for its tabs; without it (on plain http, by the browser's rules) each tab is by itself. */
export interface Tabs {
  locks: Pick<LockManager, 'request'>;
  channel(name: string): Pick<BroadcastChannel, 'postMessage' | 'close' | 'onmessage'>;
}

/** Reads what happened after an event, a page of it. */
export type History = (after: number, limit: number) => Promise<readonly Event[]>;

const PAGE = 10_000;

/** Waits before what was missed is asked for again, in seconds; the last one repeats. */
const WAITS_S = [1, 2, 4, 8, 15, 30];

/** The server says something every 15 s, and the tab that listens says so. After silence of that long it is asked, and
 * when it says nothing to that either, its lock is taken from it: the browser has put it to sleep. */
const SILENT_MS = 50_000;
const ANSWER_MS = 3000;

export function browserTabs(): Tabs | null {
  const here =
    typeof navigator !== 'undefined' && 'locks' in navigator && typeof BroadcastChannel !== 'undefined';
  return here ? { locks: navigator.locks, channel: name => new BroadcastChannel(name) } : null;
}

export class SharedStream {
  constructor(
    private readonly transport: Transport,
    private readonly listener: Listener,
    private readonly history: History,
    private readonly tabs: Tabs | null = browserTabs()
  ) {}

  /** The newest id seen. */
  get last(): number {
    return this._last;
  }

  /** `name` is that of the server and of the person: tabs with the same one share. */
  start(after: number, name: string): void {
    this._last = this.wanted = after;
    this.stopped = false;
    if (this.tabs === null) {
      this.own = this.listen();
      this.own.start(after);
      return;
    }
    this.name = `mlex ${name}`;
    this.channel = this.tabs.channel(this.name);
    this.channel.onmessage = message => this.hear((message as MessageEvent<Message>).data);
    this.queue();
    this.say({ kind: 'who' });
    this.heard();
  }

  /** Try now instead of later. */
  retryNow(): void {
    this.own?.retryNow();
    this.say({ kind: 'retry' });
  }

  /** Look now whether there is a connection still: the network came back, or somebody looks at the page again. */
  check(): void {
    if (this.own) {
      this.own.check();
    } else if (!this.stopped) {
      this.doubt();
    }
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.silence);
    this.turn?.abort();
    this.resign();
    this.channel?.close();
    this.channel = null;
  }

  // ------------------------------------------------------------ whose turn it is

  /** Wait for the lock; whoever has it listens until it goes, or until the lock is taken from it. */
  private queue(steal = false): void {
    const turn = new AbortController();
    this.turn?.abort();
    this.turn = turn;
    const lead = (): Promise<void> => (this.stopped || this.turn !== turn ? Promise.resolve() : this.lead());
    const options = steal ? { steal } : { signal: turn.signal };
    this.tabs?.locks.request(this.name, options, lead).catch(() => {
      if (this.turn === turn && !this.stopped) {
        this.resign();
        this.queue();
        this.heard();
      }
    });
  }

  private lead(): Promise<void> {
    clearTimeout(this.silence);
    this.own = this.listen();
    this.own.start(this._last);
    return new Promise(resolve => (this.leave = resolve));
  }

  private resign(): void {
    this.own?.stop();
    this.own = null;
    this.leave();
    this.leave = () => undefined;
  }

  private listen(): EventStream {
    return new EventStream(this.transport, {
      events: events => {
        const after = this._last;
        this.take(events);
        this.say({ kind: 'events', after, events });
      },
      connection: connection => {
        this.tell(connection);
        this.stand();
      },
      beat: () => this.stand()
    });
  }

  // ------------------------------------------------------------ what the tabs say to each other

  private say(message: Message): void {
    this.channel?.postMessage(message);
  }

  private stand(): void {
    this.say({ kind: 'stand', last: this._last, connection: this.connection });
  }

  private hear(message: Message): void {
    if (this.own) {
      if (message.kind === 'who') {
        this.stand();
      } else if (message.kind === 'retry') {
        this.own.retryNow();
      }
    } else if (message.kind === 'stand') {
      this.heard();
      this.tell(message.connection);
      void this.catchUp(message.last);
    } else if (message.kind === 'events') {
      this.heard();
      if (message.after <= this._last) {
        this.take(message.events);
      }
      void this.catchUp(message.events.at(-1)?.id ?? 0);
    }
  }

  /** The tab that listens lives; when it says nothing for long, it is asked whether it does. */
  private heard(): void {
    clearTimeout(this.silence);
    if (this.own === null) {
      this.silence = setTimeout(() => this.doubt(), SILENT_MS);
    }
  }

  private doubt(): void {
    clearTimeout(this.silence);
    this.say({ kind: 'who' });
    this.silence = setTimeout(() => this.own ?? this.queue(true), ANSWER_MS);
  }

  // ------------------------------------------------------------ what this tab knows

  private take(events: readonly Event[]): void {
    const fresh = events.filter(event => event.id > this._last);
    const newest = fresh.at(-1);
    if (newest) {
      this._last = newest.id;
      this.listener.events(fresh);
    }
  }

  private tell(connection: Connection): void {
    if (JSON.stringify(connection) !== JSON.stringify(this.connection)) {
      this.connection = connection;
      this.listener.connection(connection);
    }
  }

  /** What was said while this tab was away is read from the server, in order, before it goes on. */
  private async catchUp(to: number): Promise<void> {
    this.wanted = Math.max(this.wanted, to);
    if (this.catching) {
      return;
    }
    this.catching = true;
    for (let failures = 0; this._last < this.wanted && !this.stopped;) {
      try {
        const page = await this.history(this._last, PAGE);
        this.take(page);
        this.wanted = page.length > 0 ? this.wanted : this._last;
        failures = 0;
      } catch {
        const wait_s = WAITS_S[Math.min(failures, WAITS_S.length - 1)] ?? 30;
        failures += 1;
        await new Promise(resolve => setTimeout(resolve, wait_s * 1000));
      }
    }
    this.catching = false;
  }

  private _last = 0;
  /** The newest id that is known to be there. */
  private wanted = 0;
  private catching = false;
  private stopped = true;
  private name = '';
  private channel: ReturnType<Tabs['channel']> | null = null;
  /** This tab's place in the queue for the lock. */
  private turn: AbortController | null = null;
  /** The connection, where this tab has the lock. */
  private own: EventStream | null = null;
  private leave: () => void = () => undefined;
  private connection: Connection = { status: 'connecting', since: null, retry: null };
  private silence: ReturnType<typeof setTimeout> | undefined;
}
