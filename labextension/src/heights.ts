/** How tall the sections of the panel are, from what each would like and the room that there is. */

/**
 * The one that matters most gets what it wants, up to half of the room; the others share the rest so that nobody
 * gets less than another who is content. What is left over goes to the last that is open.
 */
export function heights(wanted: readonly number[], room: number, first: number): number[] {
  const given = wanted.map(() => 0);
  given[first] = Math.min(wanted[first] ?? 0, Math.max(room / 2, room - sum(wanted) + (wanted[first] ?? 0)));
  const others = wanted.map((_, i) => i).filter(i => i !== first && (wanted[i] ?? 0) > 0);
  others.sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0));
  others.forEach((i, done) => {
    given[i] = Math.min(wanted[i] ?? 0, Math.max(0, room - sum(given)) / (others.length - done));
  });
  const last = wanted.map(height => height > 0).lastIndexOf(true);
  if (last >= 0) {
    given[last] = (given[last] ?? 0) + Math.max(0, room - sum(given));
  }
  return given;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
