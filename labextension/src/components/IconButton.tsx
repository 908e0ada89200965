import type { LabIcon } from '@jupyterlab/ui-components';

import { Icon } from './Icon';

interface Props {
  icon: LabIcon;
  label: string;
  onClick: (event: React.MouseEvent<HTMLButtonElement>) => void;
  tabIndex?: number;
}

export function IconButton({ icon, label, onClick, tabIndex }: Props): JSX.Element {
  return (
    <button
      type="button"
      className="mlex-IconButton"
      title={label}
      aria-label={label}
      onClick={onClick}
      tabIndex={tabIndex}
    >
      <Icon icon={icon} size={16} />
    </button>
  );
}
