/** The slice on the screen, and what lies over it: brought when it is wanted, the neighbours before they are. */

import type { Problem } from '@mlex/api';

import { problemIn } from '../problems';
import { Turns } from '../turns';
import { type Place, type Raster, Rasters } from './raster';

const AHEAD = 3;

/** Who looks: what they want now, and what they are told. */
export interface Looker {
  wanted(): Place;
  /** How many slices there are across an axis. */
  depth(axis: number): number;
  /** Others are there now. */
  brought(): void;
  problem(problem: Problem | null): void;
}

export type LoadFrom = (data: string, place: Place, signal: AbortSignal) => Promise<ArrayBuffer>;

export class Slices {
  constructor(
    private readonly load: LoadFrom,
    data: string,
    private readonly looker: Looker
  ) {
    this.rasters = this.of(data);
  }

  raster: Raster | null = null;
  overlay: Raster | null = null;
  /** Where they are from. */
  place: Place | null = null;

  /** Bring what is wanted. Who scrubs sees what can be had on the way, and nothing is waited for that has passed. */
  show(): Promise<void> {
    this.stopAhead();
    return this.turns.take('show', () => this.bring());
  }

  /** Lay another dataset over it, or none. */
  layOver(data: string | null): Promise<void> {
    this.over = data === null ? null : this.of(data);
    return this.show();
  }

  private async bring(): Promise<void> {
    const place = this.looker.wanted();
    try {
      const [raster, overlay] = await Promise.all([this.rasters.get(place), this.over?.get(place) ?? null]);
      [this.raster, this.overlay, this.place] = [raster, overlay, place];
      this.looker.problem(null);
      this.looker.brought();
      this.goAhead(place);
    } catch (error) {
      this.looker.problem(problemIn(error));
    }
  }

  private goAhead(place: Place): void {
    const near = Array.from(
      { length: 2 * AHEAD },
      (_, i) => place.index + (i % 2 ? -1 : 1) * (1 + Math.floor(i / 2))
    );
    const places = near
      .filter(at => at >= 0 && at < this.looker.depth(place.axis))
      .map(index => ({ ...place, index }));
    this.rasters.prefetch(places, place);
    this.over?.prefetch(places, place);
  }

  /** What is wanted now comes before what may be. */
  private stopAhead(): void {
    const place = this.looker.wanted();
    this.rasters.prefetch([], place);
    this.over?.prefetch([], place);
  }

  private of(data: string): Rasters {
    return new Rasters((place, signal) => this.load(data, place, signal));
  }

  private readonly rasters: Rasters;
  private over: Rasters | null = null;
  private readonly turns = new Turns();
}
