import { useScreen } from '../context';

interface Props {
  /** What it asks of the server, as `Actions` calls it. */
  act: string;
  look?: 'primary' | 'danger' | 'small';
  title?: string;
  onClick: () => void;
  children: React.ReactNode;
}

/** A button that asks the server for something, and rests until it has answered. */
export function ActButton({ act, look, title, onClick, children }: Props): JSX.Element {
  const busy = useScreen().underWay.includes(act);
  return (
    <button
      type="button"
      className={`mlex-Button ${look ? `mlex-mod-${look}` : ''}`}
      title={title}
      disabled={busy}
      aria-busy={busy}
      onClick={onClick}
    >
      {children}
    </button>
  );
}
