import { runIcon } from '@jupyterlab/ui-components';
import type { Job } from '@mlex/api';

import { useMlex, useScreen } from '../context';
import { ActButton } from './ActButton';
import { Icon } from './Icon';
import { ProblemBox } from './ProblemBox';

/** Why a run failed or was lost, and the button that goes on; also what an action on it was refused for. */
export function RunFailure({ job }: { job: Job }): JSX.Element | null {
  const { actions } = useMlex();
  const trouble = useScreen().troubles.runs ?? null;
  const failed = job.state === 'failed' || job.state === 'lost';
  return (
    <>
      {trouble && <ProblemBox problem={trouble} onDismiss={() => actions.dismiss('runs')} />}
      {failed && (
        <ProblemBox
          problem={{
            code: job.state,
            message: job.message ?? job.reason ?? 'It ended without saying why.',
            hint: job.hint ?? 'The log below has the details.',
            transient: false
          }}
        >
          <ActButton act={`resume ${job.id}`} look="primary" onClick={() => void actions.resume(job)}>
            <Icon icon={runIcon} /> Resume
          </ActButton>
        </ProblemBox>
      )}
    </>
  );
}
