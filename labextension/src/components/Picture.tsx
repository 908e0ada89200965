import { useEffect, useState } from 'react';

interface Props {
  /** Changes when another picture is meant. */
  of: string;
  load: () => Promise<Blob>;
  alt: string;
  className?: string;
}

/** A picture from the server, fetched with the login: an address in `src` would be refused behind a Hub. */
export function Picture({ of, load, alt, className = '' }: Props): JSX.Element {
  const [url, setUrl] = useState<string | null>(null);
  const [missing, setMissing] = useState(false);

  useEffect(() => {
    let wanted = true;
    load().then(
      blob => {
        if (wanted) {
          setMissing(false);
          setUrl(URL.createObjectURL(blob));
        }
      },
      () => wanted && setMissing(true)
    );
    return () => {
      wanted = false;
    };
  }, [of]);

  useEffect(() => () => (url === null ? undefined : URL.revokeObjectURL(url)), [url]);

  if (url === null) {
    return (
      <span
        className={`mlex-Picture ${missing ? 'mlex-mod-missing' : 'mlex-Skeleton'} ${className}`}
        aria-hidden="true"
      />
    );
  }
  return <img className={`mlex-Picture ${className}`} src={url} alt={alt} />;
}
