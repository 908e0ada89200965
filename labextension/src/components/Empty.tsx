import type { LabIcon } from '@jupyterlab/ui-components';

import { Icon } from './Icon';

interface Props {
  icon: LabIcon;
  title: string;
  text: string;
  children?: React.ReactNode;
}

/** An empty section says what to do, and has the button for it. */
export function Empty({ icon, title, text, children }: Props): JSX.Element {
  return (
    <div className="mlex-Empty">
      <Icon icon={icon} size={26} />
      <b>{title}</b>
      <p>{text}</p>
      {children && <div className="mlex-Buttons">{children}</div>}
    </div>
  );
}
