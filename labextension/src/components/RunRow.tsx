import { closeIcon, ellipsesIcon, stopIcon } from '@jupyterlab/ui-components';
import type { Job } from '@mlex/api';

import { useMlex } from '../context';
import type { Curve } from '../curve';
import { FINAL, jobScore, RESUMABLE, runLine, score, stopping } from '../words';
import { ActButton } from './ActButton';
import { Bar } from './Bar';
import { IconButton } from './IconButton';
import { Row } from './Row';
import { Sparkline } from './Sparkline';
import { StateBadge } from './StateBadge';

interface Props {
  job: Job;
  curve: Curve | null;
  selected: boolean;
  /** Seen some time ago: there is no connection. */
  stale: boolean;
}

export function RunRow({ job, curve, selected, stale }: Props): JSX.Element {
  const { actions, screen } = useMlex();
  const progress = job.progress;
  const best = jobScore(job, progress);
  const dices = (curve?.epochs ?? []).flatMap(({ dice }) => (dice === null ? [] : [dice]));
  const open = (): void => {
    screen.set({ run: job.id });
    actions.openRun(job.id);
  };
  const menu = (x: number, y: number): void => actions.openRunMenu(job, x, y);
  return (
    <Row
      id={job.id}
      selected={selected}
      onOpen={open}
      onDelete={FINAL.has(job.state) ? undefined : () => void actions.cancelIfMeant(job)}
      onMenu={menu}
      title={job.hint ?? undefined}
      actions={<RunButtons job={job} menu={menu} />}
    >
      <span className="mlex-Row-text">
        <span className="mlex-Row-line">
          <StateBadge state={job.state} stale={stale} />
          <span className="mlex-Row-name">{job.name}</span>
          <span className="mlex-meta mlex-end mlex-num">
            {job.state === 'running' && <Sparkline values={dices} />}
            {best !== null &&
              (job.state === 'done' ? (
                <>
                  Dice <b>{score(best)}</b>
                </>
              ) : (
                score(best)
              ))}
          </span>
        </span>
        {job.state === 'running' && (
          <Bar fraction={progress?.fraction ?? 0} label={`Progress of ${job.name}`} />
        )}
        <span className="mlex-meta mlex-num">{runLine(job, progress)}</span>
      </span>
    </Row>
  );
}

function RunButtons({ job, menu }: { job: Job; menu: (x: number, y: number) => void }): JSX.Element {
  const { actions } = useMlex();
  if (job.state === 'running') {
    return (
      <IconButton
        icon={stopIcon}
        label={`Stop ${job.name}`}
        title={`Stop ${job.name}. ${stopping(job)}`}
        act={`cancel ${job.id}`}
        onClick={() => void actions.cancel(job)}
      />
    );
  }
  if (!FINAL.has(job.state)) {
    return (
      <IconButton
        icon={closeIcon}
        label={`Cancel ${job.name}`}
        act={`cancel ${job.id}`}
        onClick={() => void actions.cancel(job)}
      />
    );
  }
  if (RESUMABLE.has(job.state)) {
    return (
      <ActButton act={`resume ${job.id}`} look="small" onClick={() => void actions.resume(job)}>
        Resume
      </ActButton>
    );
  }
  const open = (event: React.MouseEvent<HTMLButtonElement>): void => {
    const { left, bottom } = event.currentTarget.getBoundingClientRect();
    menu(left, bottom);
  };
  return <IconButton icon={ellipsesIcon} label={`More for ${job.name}`} onClick={open} />;
}
