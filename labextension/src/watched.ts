/** A value that can be watched, and tells its listeners when they should hear of a change. */

export class Watched<T> {
  /**
   * `at` once: what a person types must stand in its field before the event is over.
   * `frame`: what the server says may come by the hundred, and is drawn once a frame.
   */
  constructor(
    private current: T,
    private readonly at: 'once' | 'frame'
  ) {}

  readonly get = (): T => this.current;

  set(change: Partial<T>): void {
    this.current = { ...this.current, ...change };
    if (this.at === 'once') {
      this.tell();
    } else if (!this.waiting) {
      this.waiting = true;
      soon(() => {
        this.waiting = false;
        this.tell();
      });
    }
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private tell(): void {
    this.listeners.forEach(listener => listener());
  }

  private waiting = false;
  private readonly listeners = new Set<() => void>();
}

/** Before the next frame; a hidden page draws none, so there a timer does it. */
function soon(work: () => void): void {
  if (document.visibilityState === 'visible') {
    requestAnimationFrame(work);
  } else {
    setTimeout(work, 100);
  }
}
