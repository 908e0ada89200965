import type { JobState } from '@mlex/api';
import type { LabIcon } from '@jupyterlab/ui-components';

import { clockIcon, failedIcon, minusIcon, okIcon, warningIcon } from '../icons';
import { STATE_WORDS } from '../words';
import { Icon } from './Icon';
import { Ring } from './Ring';

const LOOKS: Record<Exclude<JobState, 'running'>, [LabIcon, string]> = {
  waiting: [clockIcon, 'idle'],
  queued: [clockIcon, 'idle'],
  done: [okIcon, 'ok'],
  failed: [failedIcon, 'error'],
  cancelled: [minusIcon, 'idle'],
  lost: [warningIcon, 'warn']
};

/** A state is icon, word and colour. Seen some time ago, it says so and stands still. */
export function StateBadge({ state, stale = false }: { state: JobState; stale?: boolean }): JSX.Element {
  if (stale && (state === 'running' || state === 'queued' || state === 'waiting')) {
    return (
      <span className="mlex-Badge mlex-is-idle">
        <Icon icon={minusIcon} />
        Last seen {STATE_WORDS[state].toLowerCase()}
      </span>
    );
  }
  if (state === 'running') {
    return (
      <span className="mlex-Badge mlex-is-running">
        <Ring />
        {STATE_WORDS.running}
      </span>
    );
  }
  const [icon, look] = LOOKS[state];
  return (
    <span className={`mlex-Badge mlex-is-${look}`}>
      <Icon icon={icon} />
      {STATE_WORDS[state]}
    </span>
  );
}
