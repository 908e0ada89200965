import { closeIcon } from '@jupyterlab/ui-components';
import type { Problem } from '@mlex/api';

import { failedIcon } from '../icons';
import { Icon } from './Icon';
import { IconButton } from './IconButton';

interface Props {
  problem: Problem;
  onDismiss?: () => void;
  children?: React.ReactNode;
}

/** What happened, what to do, and buttons that do it. */
export function ProblemBox({ problem, onDismiss, children }: Props): JSX.Element {
  return (
    <div className="mlex-Box mlex-mod-error" role="alert">
      <div className="mlex-Box-head mlex-is-error">
        <Icon icon={failedIcon} size={16} />
        <b>{problem.message}</b>
        {onDismiss && <IconButton icon={closeIcon} label="Dismiss" onClick={onDismiss} />}
      </div>
      {problem.hint && <p>{problem.hint}</p>}
      {children && <div className="mlex-Buttons">{children}</div>}
    </div>
  );
}
