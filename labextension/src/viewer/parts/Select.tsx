import { caretDownEmptyIcon } from '@jupyterlab/ui-components';

import { Icon } from '../../components/Icon';

interface Props {
  value: string;
  disabled?: boolean;
  onPick: (value: string) => void;
  children: React.ReactNode;
}

/** The browser's own select, in the panel's clothes, where a label stands around it. */
export function Select({ value, disabled, onPick, children }: Props): JSX.Element {
  return (
    <span className="mlex-Select">
      <select
        className="mlex-Field"
        value={value}
        disabled={disabled}
        onChange={event => onPick(event.target.value)}
      >
        {children}
      </select>
      <Icon icon={caretDownEmptyIcon} />
    </span>
  );
}
