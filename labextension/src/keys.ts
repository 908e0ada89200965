/** A key for each wish: the same wish again, because its answer was lost, keeps its key and so is still one job. */

import { UUID } from '@lumino/coreutils';

import type { Wish } from './server';

export class Keys {
  of(wish: Wish): string {
    const text = JSON.stringify(wish);
    const key = this.unanswered.get(text) ?? UUID.uuid4();
    this.unanswered.set(text, key);
    return key;
  }

  /** It was answered: wished again, it is another job. */
  answered(wish: Wish): void {
    this.unanswered.delete(JSON.stringify(wish));
  }

  /** Nobody waits for lost answers any more. */
  forget(): void {
    this.unanswered.clear();
  }

  private readonly unanswered = new Map<string, string>();
}
