import { refreshIcon } from '@jupyterlab/ui-components';
import { useEffect, useState } from 'react';

import { useKnown, useMlex } from '../context';
import { offlineIcon } from '../icons';
import { time } from '../words';
import { Icon } from './Icon';
import { ProblemBox } from './ProblemBox';

/** No connection, since when, and when it is tried again. */
export function Notice(): JSX.Element | null {
  const { connection, hello, jobs } = useKnown();
  if (hello === null && jobs.problem && connection.status !== 'offline') {
    return (
      <ProblemBox problem={jobs.problem}>
        <TryNow />
      </ProblemBox>
    );
  }
  if (connection.status !== 'offline') {
    return null;
  }
  return (
    <div className="mlex-Box" role="status">
      <div className="mlex-Box-head">
        <Icon icon={offlineIcon} size={16} />
        <b>No connection since {time(connection.since ?? Date.now())}</b>
      </div>
      <p>Runs go on without this page. Their curves come back whole.</p>
      <div className="mlex-Buttons">
        <TryNow />
        {connection.retry !== null && <Countdown until={connection.retry} />}
      </div>
    </div>
  );
}

function TryNow(): JSX.Element {
  const { server } = useMlex();
  return (
    <button type="button" className="mlex-Button" onClick={() => server.retryNow()}>
      <Icon icon={refreshIcon} /> Try now
    </button>
  );
}

function Countdown({ until }: { until: number }): JSX.Element {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.ceil((until - now) / 1000);
  return <span className="mlex-meta mlex-num">{left > 0 ? `again in ${left} s` : 'trying'}</span>;
}
