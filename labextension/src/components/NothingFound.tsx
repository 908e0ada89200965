import { useMlex } from '../context';

/** A search that finds nothing says so, and is undone with a click. */
export function NothingFound({ what }: { what: string }): JSX.Element {
  const { screen } = useMlex();
  return (
    <p className="mlex-Nothing">
      No {what} with this name.{' '}
      <button type="button" className="mlex-Link" onClick={() => screen.set({ query: '' })}>
        Show all
      </button>
    </p>
  );
}
