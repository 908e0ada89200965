import { percent } from '../words';

/** How far something is. */
export function Bar({ fraction, label }: { fraction: number; label: string }): JSX.Element {
  return (
    <div
      className="mlex-Bar"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(fraction * 100)}
      aria-valuetext={percent(fraction)}
    >
      <i style={{ width: `${fraction * 100}%` }} />
    </div>
  );
}
