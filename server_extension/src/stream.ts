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
  /** A sign of life that brought nothing new. */
  beat?(): void;
}

/** Waits before the attempts, in seconds; the last one repeats. The first is short: most losses are restarts. */
const WAITS_S = [0.3, 1, 2, 4, 8, 15, 30];

/** A connection that held this long counts as good: after it, the waits begin anew. */
const STEADY_MS = 5000;

/** The server says something every 15 s, if only `[]`. After silence of three times that a connection is gone, though
 * nothing has closed it: the computer slept, or a router forgot it. */
const SILENT_MS = 45_000;

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
    if (this.timer !== undefined) {
      this.open();
    }
  }

  /** Look now whether there is a connection still: the network came back, or somebody looks at the page again. */
  check(): void {
    if (this.socket !== null && Date.now() - this.heardAt >= SILENT_MS) {
      this.giveUp(this.socket);
    }
    this.retryNow();
  }

  stop(): void {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.timer = undefined;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private open(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const socket = this.transport.socket(`/stream?after=${this._last}`);
    this.socket = socket;
    this.openedAt = null;
    this.heard(socket);
    socket.onopen = () => {
      if (this.socket !== socket) {
        return;
      }
      this.openedAt = Date.now();
      this.lostAt = null;
      this.listener.connection({ status: 'live', since: null, retry: null });
    };
    socket.onmessage = message => {
      if (this.socket === socket) {
        this.heard(socket);
        this.receive(String(message.data));
      }
    };
    socket.onclose = () => {
      if (this.socket === socket) {
        this.lose();
      }
    };
  }

  /** A sign of life; when the next is missed for long, the connection is given up. */
  private heard(socket: WebSocket): void {
    this.heardAt = Date.now();
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket === socket && this.giveUp(socket), SILENT_MS);
  }

  /** Without waiting for its end: closing asks the other side, which does not answer. */
  private giveUp(socket: WebSocket): void {
    this.lose();
    socket.close();
  }

  private lose(): void {
    this.socket = null;
    clearTimeout(this.silence);
    if (this.openedAt !== null && Date.now() - this.openedAt > STEADY_MS) {
      this.failures = 0;
    }
    this.later();
  }

  private receive(text: string): void {
    const events = (JSON.parse(text) as Event[]).filter(event => event.id > this._last);
    const newest = events.at(-1);
    if (newest) {
      this._last = newest.id;
      this.listener.events(events);
    } else {
      this.listener.beat?.();
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
  private openedAt: number | null = null;
  private heardAt = 0;
  private silence: ReturnType<typeof setTimeout> | undefined;
  /** Of the next attempt, where one is waited for. */
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private lostAt: number | null = null;
}
