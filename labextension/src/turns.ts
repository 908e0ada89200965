/** One piece of work of a name at a time: wanted again meanwhile, it is done once more afterwards. */

export class Turns {
  async take(name: string, work: () => Promise<void>): Promise<void> {
    if (this.again.has(name)) {
      this.again.set(name, true);
      return;
    }
    try {
      do {
        this.again.set(name, false);
        await work();
      } while (this.again.get(name));
    } finally {
      this.again.delete(name);
    }
  }

  /** What is under way, and whether it was wanted again since. */
  private readonly again = new Map<string, boolean>();
}
