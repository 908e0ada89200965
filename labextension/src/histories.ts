/** The curves of runs: each is filled from its history while its live events wait, then folded on with them. */

import type { Client, Event } from '@mlex/api';

import { Curve } from './curve';
import type { Known } from './known';
import { problemIn } from './problems';
import type { Watched } from './watched';

const PAGE = 10_000;

/** Waits before a history that could not be read is asked for again, in seconds; the last one repeats. */
const WAITS_S = [1, 2, 4, 8, 15, 30];

export class Histories {
  constructor(
    private readonly client: Client,
    private readonly known: Watched<Known>
  ) {}

  /** Have a run's curve, from its first event on, and keep it growing. */
  watch(run: string): void {
    if (!(run in this.known.get().curves)) {
      const curve = new Curve();
      this.held.set(run, []);
      this.known.set({ curves: { ...this.known.get().curves, [run]: curve } });
      void this.fillIn(run, curve, 0);
    }
  }

  /** Events as they happen; those of a run whose history is still on its way wait for it. */
  take(events: readonly Event[]): void {
    const { curves } = this.known.get();
    for (const [run, own] of bySubject(events)) {
      const held = this.held.get(run);
      if (held) {
        held.push(...own);
      } else {
        curves[run]?.fold(own);
      }
    }
    this.drawn();
  }

  /** After a loss: ask at once for the histories that could not be read. */
  refill(): void {
    const waiting = [...this.waiting.keys()];
    waiting.forEach(run => this.again(run, 0));
  }

  clear(): void {
    this.held.clear();
    this.waiting.forEach(timer => clearTimeout(timer));
    this.waiting.clear();
    this.known.set({ curves: {} });
  }

  /** Read on from where the curve ends; where that fails, again after a while. */
  private async fillIn(run: string, curve: Curve, failures: number): Promise<void> {
    const wanted = (): boolean => this.known.get().curves[run] === curve;
    try {
      for (let more = true; more;) {
        const page = await this.client.get('/events', {
          query: { after: curve.seen, subject: run, limit: PAGE }
        });
        if (!wanted()) {
          return;
        }
        curve.fold(page);
        more = page.length === PAGE;
      }
      curve.fold(this.held.get(run) ?? []);
      curve.problem = null;
      this.held.delete(run);
    } catch (error) {
      if (!wanted()) {
        return;
      }
      curve.problem = problemIn(error);
      const wait_s = WAITS_S[Math.min(failures, WAITS_S.length - 1)] ?? 30;
      this.waiting.set(
        run,
        setTimeout(() => this.again(run, failures + 1), wait_s * 1000)
      );
    }
    this.drawn();
  }

  private again(run: string, failures: number): void {
    clearTimeout(this.waiting.get(run));
    this.waiting.delete(run);
    const curve = this.known.get().curves[run];
    if (curve) {
      void this.fillIn(run, curve, failures);
    }
  }

  private drawn(): void {
    this.known.set({ tick: this.known.get().tick + 1 });
  }

  private readonly held = new Map<string, Event[]>();
  /** Of the next attempts, by run. */
  private readonly waiting = new Map<string, ReturnType<typeof setTimeout>>();
}

function bySubject(events: readonly Event[]): Map<string, Event[]> {
  const groups = new Map<string, Event[]>();
  for (const event of events) {
    const group = groups.get(event.subject);
    if (group) {
      group.push(event);
    } else {
      groups.set(event.subject, [event]);
    }
  }
  return groups;
}
