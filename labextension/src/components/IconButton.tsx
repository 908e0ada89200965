import type { LabIcon } from '@jupyterlab/ui-components';

import { useScreen } from '../context';
import { Icon } from './Icon';

interface Props {
  icon: LabIcon;
  label: string;
  /** What it means, where the label does not say all. */
  title?: string;
  /** What it asks of the server, as `Actions` calls it: it rests until that is answered. */
  act?: string;
  onClick: (event: React.MouseEvent<HTMLButtonElement>) => void;
  tabIndex?: number;
}

export function IconButton({ icon, label, title, act, onClick, tabIndex }: Props): JSX.Element {
  const { underWay } = useScreen();
  const busy = act !== undefined && underWay.includes(act);
  return (
    <button
      type="button"
      className="mlex-IconButton"
      title={title ?? label}
      disabled={busy}
      aria-busy={busy || undefined}
      aria-label={label}
      onClick={onClick}
      tabIndex={tabIndex}
    >
      <Icon icon={icon} size={16} />
    </button>
  );
}
