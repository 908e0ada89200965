/** A run's curve, folded from its events.
 *
 * Events may come twice (a resumed run repeats steps; history and live stream overlap): what carries an id already
 * folded is dropped, and the last value of a step or an epoch wins.
 */

import type { Event, Problem, Progress } from '@mlex/api';

export interface Epoch {
  epoch: number;
  /** The last step before this epoch ended: where its values stand on the axis of steps. */
  step: number;
  loss: number | null;
  val_loss: number | null;
  dice: number | null;
  /** Null for a class of which no labels were kept apart for validation. */
  dice_by_class: Readonly<Record<string, number | null>>;
}

export interface Snapshot {
  epoch: number;
  z: number | null;
  dice: number | null;
}

export class Curve {
  readonly steps: number[] = [];
  readonly losses: number[] = [];
  /** By epoch, ascending. */
  readonly epochs: Epoch[] = [];
  readonly pictures: Snapshot[] = [];
  progress: Progress | null = null;
  /** How many epochs there will be; null until the run has said so. */
  total: number | null = null;
  /** Why the history could not be read. */
  problem: Problem | null = null;
  /** The newest event folded in. */
  seen = 0;
  /** Grows with every change, so that a screen knows when to draw. */
  version = 0;

  fold(events: readonly Event[]): void {
    for (const event of events) {
      if (event.id > this.seen) {
        this.seen = event.id;
        this.take(event);
      }
    }
    this.version += 1;
  }

  /** Steps in one epoch, once an epoch has ended. */
  get stepsPerEpoch(): number | null {
    const last = this.epochs.at(-1);
    return last && last.epoch > 0 && last.step > 0 ? last.step / last.epoch : null;
  }

  /** How many epochs a chart has room for: all, but no more than some times those that are done. */
  get shownEpochs(): number | null {
    const done = this.epochs.at(-1)?.epoch ?? 0;
    return this.total === null ? null : Math.min(this.total, Math.max(12, 4 * done));
  }

  /** The epoch with the highest validation Dice: its weights are kept. */
  get best(): Epoch | undefined {
    return highest(this.epochs, ({ dice }) => dice);
  }

  private take({ kind, values }: Event): void {
    switch (kind) {
      case 'metrics':
        return this.step(number(values.step), number(values.loss));
      case 'epoch':
        return this.epoch(values);
      case 'picture': {
        const epoch = number(values.epoch);
        if (epoch !== null) {
          put(this.pictures, { epoch, z: number(values.z), dice: number(values.dice) }, each => each.epoch);
        }
        return;
      }
      case 'progress':
        this.progress = progressIn(values) ?? this.progress;
        if (this.progress?.unit === 'epoch') {
          this.total = this.progress.total;
        }
    }
  }

  private step(step: number | null, loss: number | null): void {
    if (step === null) {
      return;
    }
    const at = place(this.steps, step);
    const known = this.steps[at] === step;
    this.steps.splice(at, known ? 1 : 0, step);
    this.losses.splice(at, known ? 1 : 0, loss ?? NaN);
  }

  private epoch(values: Event['values']): void {
    const epoch = number(values.epoch);
    if (epoch === null) {
      return;
    }
    this.total = number(values.epochs) ?? this.total;
    const before = this.epochs.find(each => each.epoch === epoch);
    const by_class = values.dice_by_class;
    put(
      this.epochs,
      {
        epoch,
        step: before?.step ?? this.steps.at(-1) ?? epoch,
        loss: number(values.loss),
        val_loss: number(values.val_loss),
        dice: number(values.dice),
        dice_by_class:
          typeof by_class === 'object' && by_class !== null && !Array.isArray(by_class)
            ? Object.fromEntries(Object.entries(by_class).map(([name, its]) => [name, number(its)]))
            : {}
      },
      each => each.epoch
    );
  }
}

/** Of those that have a value the one with the highest, the earliest of equals. */
export function highest<T>(list: readonly T[], value: (item: T) => number | null): T | undefined {
  let best: T | undefined;
  for (const item of list) {
    const its = value(item);
    if (its !== null && (best === undefined || its > (value(best) ?? -Infinity))) {
      best = item;
    }
  }
  return best;
}

/** What a run says of how far it is; null where that cannot be meant. The run may be anybody's program. */
export function progressIn(values: Event['values']): Progress | null {
  const [done, total, fraction] = [number(values.done), number(values.total), number(values.fraction)];
  return done === null || total === null || fraction === null || typeof values.unit !== 'string'
    ? null
    : {
        done,
        total,
        unit: values.unit,
        fraction: Math.min(1, Math.max(0, fraction)),
        eta_s: number(values.eta_s),
        score: number(values.score)
      };
}

/** A finite number, or null: a loss that became NaN arrives as null or as text. */
function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Where a value stands, or would stand, in ascending numbers; from the end, as most are new. */
function place(sorted: readonly number[], value: number): number {
  let at = sorted.length;
  while (at > 0 && (sorted[at - 1] ?? -Infinity) >= value) {
    at -= 1;
  }
  return at;
}

/** Put into an ascending list, in place of what has the same key. */
function put<T>(list: T[], item: T, key: (item: T) => number): void {
  const at = place(list.map(key), key(item));
  const there = list[at];
  list.splice(at, there !== undefined && key(there) === key(item) ? 1 : 0, item);
}
