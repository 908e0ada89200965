import { useEffect, useState } from 'react';

import { Ring } from './Ring';

/** Shapes at once, never a blank; words after two seconds. */
export function Loading({ what }: { what: string }): JSX.Element {
  const [long, setLong] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLong(true), 2000);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className="mlex-Loading" role="status" aria-label={`Loading ${what}`}>
      {[55, 42].map(width => (
        <div className="mlex-Row-main" key={width}>
          <span className="mlex-Thumbnail mlex-Skeleton" />
          <span className="mlex-Row-text">
            <span className="mlex-Skeleton" style={{ width: `${width}%` }} />
            <span className="mlex-Skeleton" style={{ width: `${width + 25}%` }} />
          </span>
        </div>
      ))}
      {long && (
        <p className="mlex-Busy">
          <Ring /> Loading {what}
        </p>
      )}
    </div>
  );
}
