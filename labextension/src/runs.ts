/** The runs as they were told, and which of them ended.
 *
 * Answers overtake each other. So each request takes a number when it is asked, and of a run the answer to the
 * newest request counts: one that was asked earlier and comes later does not put "running" over "done".
 */

import type { Job } from '@mlex/api';

import { FINAL } from './words';

export interface Told {
  /** All that are known, the newest first. */
  runs: readonly Job[];
  /** Those that ended since they were seen before. */
  ended: readonly Job[];
}

export class Runs {
  /** The number of a request, to be taken before it is made. */
  asking(): number {
    this.asked += 1;
    return this.asked;
  }

  /** Put what a request was answered among what is known. A list has only the newest: others stay. */
  hear(known: readonly Job[], told: readonly Job[], number: number): Told {
    const fresh = told.filter(job => number >= (this.heard.get(job.id) ?? 0));
    fresh.forEach(job => this.heard.set(job.id, number));
    const before = new Map(known.map(job => [job.id, job]));
    const ended = fresh.filter(job => {
      const state = before.get(job.id)?.state;
      return state !== undefined && !FINAL.has(state) && FINAL.has(job.state);
    });
    const all = new Map([...known, ...fresh].map(job => [job.id, job]));
    return { runs: [...all.values()].sort((a, b) => (a.id < b.id ? 1 : -1)), ended };
  }

  private asked = 0;
  /** By run, the number of the request whose answer is shown. */
  private readonly heard = new Map<string, number>();
}
