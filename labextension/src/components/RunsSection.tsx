import { runIcon } from '@jupyterlab/ui-components';

import { useKnown, useMlex, useScreen } from '../context';
import { finds } from '../words';
import { Busy } from './Busy';
import { Empty } from './Empty';
import { NothingFound } from './NothingFound';
import { ProblemBox } from './ProblemBox';
import { Rows } from './Rows';
import { RunRow } from './RunRow';
import { Waiting } from './Waiting';

export function RunsSection(): JSX.Element {
  const { jobs, curves, connection } = useKnown();
  const screen = useScreen();
  const { actions } = useMlex();
  const trouble = screen.troubles.runs ?? null;
  const shown = (jobs.value ?? []).filter(job =>
    finds(screen.query, job.name, job.id, job.spec.task.kind, job.state)
  );
  return (
    <>
      {trouble && <ProblemBox problem={trouble} onDismiss={() => actions.dismiss('runs')} />}
      <Busy doing={screen.doing.runs} />
      {jobs.value === null ? (
        <Waiting asked={jobs} what="runs" />
      ) : jobs.value.length === 0 ? (
        <Empty icon={runIcon} title="No runs yet" text="Pick data, labels and a model, then Train." />
      ) : shown.length === 0 ? (
        <NothingFound what="run" />
      ) : (
        <Rows label="Runs" ids={shown.map(job => job.id)}>
          {shown.map(job => (
            <RunRow
              key={job.id}
              job={job}
              curve={curves[job.id] ?? null}
              selected={job.id === screen.run}
              stale={connection.status === 'offline'}
            />
          ))}
        </Rows>
      )}
    </>
  );
}
