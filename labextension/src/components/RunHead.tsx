import { ellipsesIcon, runIcon, stopIcon } from '@jupyterlab/ui-components';
import type { Job } from '@mlex/api';
import { useEffect, useState } from 'react';

import { useKnown, useMlex } from '../context';
import type { Curve } from '../curve';
import { clock, counted, FINAL, join, left, stopping, time, took } from '../words';
import { ActButton } from './ActButton';
import { Bar } from './Bar';
import { Icon } from './Icon';
import { IconButton } from './IconButton';
import { StateBadge } from './StateBadge';

interface Props {
  job: Job;
  curve: Curve | null;
  stale: boolean;
}

/** Name, state, facts, and the buttons; below, how far it is. */
export function RunHead({ job, curve, stale }: Props): JSX.Element {
  const { targets } = useKnown();
  const { actions } = useMlex();
  const where = targets.value?.find(target => target.name === job.spec.target)?.title ?? job.spec.target;
  const facts = join(
    where,
    job.native_id && `job ${job.native_id}`,
    job.started && `started ${time(job.started)}`,
    job.attempt > 1 && `attempt ${job.attempt}`,
    !FINAL.has(job.state) && job.reason
  );
  const menu = (event: React.MouseEvent<HTMLButtonElement>): void => {
    const { left: x, bottom } = event.currentTarget.getBoundingClientRect();
    actions.openRunMenu(job, x, bottom);
  };
  return (
    <header className="mlex-RunHead">
      <div className="mlex-RunHead-line">
        <h1>{job.name}</h1>
        <StateBadge state={job.state} stale={stale} />
        <span className="mlex-meta mlex-mod-facts">{facts}</span>
        <span className="mlex-Buttons mlex-end">
          <RunHeadButtons job={job} />
          <IconButton icon={ellipsesIcon} label={`More for ${job.name}`} onClick={menu} />
        </span>
      </div>
      <div className="mlex-RunHead-line">
        <Bar
          fraction={job.state === 'done' ? 1 : (job.progress?.fraction ?? 0)}
          label={`Progress of ${job.name}`}
        />
        <span className="mlex-num mlex-RunHead-progress">
          <Standing job={job} curve={curve} />
        </span>
      </div>
    </header>
  );
}

function RunHeadButtons({ job }: { job: Job }): JSX.Element | null {
  const { actions } = useMlex();
  if (!FINAL.has(job.state)) {
    return (
      <ActButton
        act={`cancel ${job.id}`}
        look="danger"
        title={job.state === 'running' ? stopping(job) : undefined}
        onClick={() => void actions.cancel(job)}
      >
        <Icon icon={stopIcon} /> {job.state === 'running' ? 'Stop' : 'Cancel'}
      </ActButton>
    );
  }
  if (job.state === 'cancelled') {
    return (
      <ActButton act={`resume ${job.id}`} look="primary" onClick={() => void actions.resume(job)}>
        <Icon icon={runIcon} /> Resume
      </ActButton>
    );
  }
  const { kind } = job.spec.task;
  return job.state === 'done' && (kind === 'train' || kind === 'pretrain') ? (
    <>
      <ActButton act={`publish ${job.id}`} onClick={() => void actions.publish(job)}>
        Publish…
      </ActButton>
      {kind === 'train' && (
        <ActButton act={`predict ${job.id}`} look="primary" onClick={() => void actions.predictRun(job)}>
          Predict
        </ActButton>
      )}
    </>
  ) : null;
}

/** "epoch 12 of 50 · 0:41 gone · 2:10 left · best so far: epoch 11" */
function Standing({ job, curve }: { job: Job; curve: Curve | null }): JSX.Element {
  const gone = useSecondsSince(job.state === 'running' ? job.started : null);
  const done = job.state === 'done';
  const best = curve?.best;
  const remains = job.state === 'running' ? left(job.progress ?? null) : null;
  const parts = [
    job.progress && <b key="epoch">{counted(job.progress)}</b>,
    gone !== null && `${clock(gone)} gone`,
    remains !== null && <b key="left">{remains}</b>,
    FINAL.has(job.state) && took(job) && `took ${took(job)}`,
    best && `${done ? 'best' : 'best so far'}: epoch ${best.epoch}`
  ].filter(Boolean);
  return <>{parts.flatMap((part, i) => (i === 0 ? [part] : [' · ', part]))}</>;
}

function useSecondsSince(start: string | null | undefined): number | null {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (start) {
      const timer = setInterval(() => setNow(Date.now()), 1000);
      return () => clearInterval(timer);
    }
    return undefined;
  }, [start]);
  return start ? Math.max(0, (now - Date.parse(start)) / 1000) : null;
}
