import { Ring } from './Ring';

/** What is being done at the moment, in words. */
export function Busy({ doing }: { doing: string | null | undefined }): JSX.Element | null {
  return doing ? (
    <p className="mlex-Busy mlex-is-running" role="status">
      <Ring /> {doing}…
    </p>
  ) : null;
}
