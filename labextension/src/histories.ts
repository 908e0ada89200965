/** The curves of runs: each is filled from its history while its live events wait, then folded on with them. */

import type { Client, Event } from '@mlex/api';

import { Curve } from './curve';
import type { Known } from './known';
import { problemIn } from './problems';
import type { Watched } from './watched';

const PAGE = 10_000;

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
      void this.fillIn(run, curve);
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

  /** After a loss: ask again for the histories that could not be read. */
  refill(): void {
    const again = [...this.unfilled];
    this.unfilled.clear();
    const kept = Object.entries(this.known.get().curves).filter(([run]) => !again.includes(run));
    this.known.set({ curves: Object.fromEntries(kept) });
    again.forEach(run => this.watch(run));
  }

  clear(): void {
    this.held.clear();
    this.unfilled.clear();
    this.known.set({ curves: {} });
  }

  private async fillIn(run: string, curve: Curve): Promise<void> {
    try {
      for (let after = 0, more = true; more;) {
        const page = await this.client.get('/events', { query: { after, subject: run, limit: PAGE } });
        curve.fold(page);
        after = page.at(-1)?.id ?? after;
        more = page.length === PAGE;
      }
      curve.fold(this.held.get(run) ?? []);
      this.held.delete(run);
    } catch (error) {
      curve.problem = problemIn(error);
      this.unfilled.add(run);
    }
    this.drawn();
  }

  private drawn(): void {
    this.known.set({ tick: this.known.get().tick + 1 });
  }

  private readonly held = new Map<string, Event[]>();
  private readonly unfilled = new Set<string>();
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
