import { createContext, useRef, useState } from 'react';

/** The row that Tab reaches; the arrow keys reach the others. */
export const TabStop = createContext<string | null>(null);

interface Props {
  label: string;
  ids: readonly string[];
  children: React.ReactNode;
}

const MOVES: Record<string, (at: number, count: number) => number> = {
  ArrowDown: (at, count) => Math.min(at + 1, count - 1),
  ArrowUp: at => Math.max(at - 1, 0),
  Home: () => 0,
  End: (_, count) => count - 1
};

/** A list of rows with one stop for Tab, ↑ ↓ Home End between rows. */
export function Rows({ label, ids, children }: Props): JSX.Element {
  const list = useRef<HTMLUListElement>(null);
  const [current, setCurrent] = useState<string | null>(null);

  const move = (event: React.KeyboardEvent): void => {
    const rows = [...(list.current?.querySelectorAll<HTMLElement>('button.mlex-Row-main') ?? [])];
    const at = rows.findIndex(row => row === document.activeElement);
    const to = at < 0 ? undefined : MOVES[event.key]?.(at, rows.length);
    if (to !== undefined) {
      event.preventDefault();
      rows[to]?.focus();
    }
  };
  const follow = (event: React.FocusEvent): void => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('[data-row]');
    setCurrent(row?.dataset.row ?? null);
  };

  const stop = current !== null && ids.includes(current) ? current : (ids[0] ?? null);
  return (
    <ul
      className="mlex-Rows"
      aria-label={label}
      ref={list}
      onKeyDown={move}
      onFocus={follow}
      data-lm-suppress-shortcuts="true"
    >
      <TabStop.Provider value={stop}>{children}</TabStop.Provider>
    </ul>
  );
}
