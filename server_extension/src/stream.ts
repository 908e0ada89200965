/** What happened, live: one WebSocket that is resumed from the last event seen, so that nothing is missed. */

import type { Transport } from './client';
import type { Event } from './types';

export interface Connection {
  status: 'connecting' | 'live' | 'offline';
  /** Since when there is no connection (ms since 1970). */
  since: number | null;
  /** When the next attempt is made (ms since 1970). */
  retry: number | null;
}

export interface Listener {
  events(events: readonly Event[]): void;
  connection(connection: Connection): void;
}

/** Waits before the attempts, in seconds; the last one repeats. The first is short: most losses are restarts. */
const WAITS_S = [0.3, 1, 2, 4, 8, 15, 30];

/** A connection that held this long counts as good: after it, the waits begin anew. */
const STEADY_MS = 5000;

export class EventStream {
  constructor(
    private readonly transport: Transport,
    private readonly listener: Listener
  ) {}

  /** The newest id seen; a new connection begins after it. */
  get last(): number {
    return this._last;
  }

  start(after: number): void {
    this._last = after;
    this.open();
  }

  /** Try now instead of later. */
  retryNow(): void {
    if (this.socket === null) {
      clearTimeout(this.timer);
      this.open();
    }
  }

  stop(): void {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private open(): void {
    const socket = this.transport.socket(`/stream?after=${this._last}`);
    this.socket = socket;
    let opened: number | null = null;
    socket.onopen = () => {
      opened = Date.now();
      this.lostAt = null;
      this.listener.connection({ status: 'live', since: null, retry: null });
    };
    socket.onmessage = message => {
      this.receive(String(message.data));
    };
    socket.onclose = () => {
      if (this.socket === socket) {
        this.socket = null;
        if (opened !== null && Date.now() - opened > STEADY_MS) {
          this.failures = 0;
        }
        this.later();
      }
    };
  }

  private receive(text: string): void {
    const events = (JSON.parse(text) as Event[]).filter(event => event.id > this._last);
    const newest = events.at(-1);
    if (newest) {
      this._last = newest.id;
      this.listener.events(events);
    }
  }

  private later(): void {
    this.lostAt ??= Date.now();
    const wait_s = WAITS_S[Math.min(this.failures, WAITS_S.length - 1)] ?? 30;
    const retry = Date.now() + wait_s * 1000 * (0.8 + 0.4 * Math.random());
    this.failures += 1;
    this.timer = setTimeout(() => this.open(), retry - Date.now());
    if (this.failures > 1) {
      this.listener.connection({ status: 'offline', since: this.lostAt, retry });
    }
  }

  private _last = 0;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private lostAt: number | null = null;
}
