import type { Job, Problem } from '@mlex/api';
import { useEffect, useState } from 'react';

import { useKnown, useMlex } from '../context';
import { problemIn } from '../problems';
import { Loading } from './Loading';
import { ProblemBox } from './ProblemBox';
import { ClassScores } from './ClassScores';
import { DiceChart } from './DiceChart';
import { EpochPictures } from './EpochPictures';
import { Lineage } from './Lineage';
import { LogCard } from './LogCard';
import { LossChart } from './LossChart';
import { Notice } from './Notice';
import { RunFailure } from './RunFailure';
import { RunHead } from './RunHead';
import { RunResult } from './RunResult';

/** One run: how far it is, what it sees, its curves, its log, where it comes from. */
export function RunView({ run }: { run: string }): JSX.Element {
  const { curves, connection } = useKnown();
  const { server } = useMlex();
  const { job, problem } = useRun(run);
  const curve = curves[run] ?? null;
  useEffect(() => server.watch(run), [run, curve === null]);

  if (!job) {
    return (
      <>
        <Notice />
        {problem ? <ProblemBox problem={problem} /> : <Loading what="the run" />}
      </>
    );
  }
  const training = job.spec.task.kind === 'train' || job.spec.task.kind === 'pretrain';
  return (
    <div className="mlex-Run">
      <Notice />
      <RunHead job={job} curve={curve} stale={connection.status === 'offline'} />
      <RunFailure job={job} />
      {curve?.problem && <ProblemBox problem={curve.problem} />}
      <div className={`mlex-Run-body ${training ? '' : 'mlex-mod-single'}`}>
        {training && (
          <div className="mlex-Run-hero">
            <EpochPictures job={job} curve={curve} />
          </div>
        )}
        {job.spec.task.kind === 'predict' && (
          <div className="mlex-Run-hero">
            <RunResult job={job} />
          </div>
        )}
        {training && (
          <div className="mlex-Run-side">
            <LossChart curve={curve} />
            {job.spec.task.kind === 'train' && (
              <>
                <DiceChart curve={curve} />
                <ClassScores job={job} curve={curve} />
              </>
            )}
          </div>
        )}
        <LogCard job={job} />
      </div>
      <Lineage job={job} />
    </div>
  );
}

/** A run; one that is not in the list, as there are many newer ones, is asked for by itself. */
function useRun(run: string): { job: Job | undefined; problem: Problem | null } {
  const { jobs, connection } = useKnown();
  const { server } = useMlex();
  const [problem, setProblem] = useState<Problem | null>(null);
  const job = jobs.value?.find(each => each.id === run);
  const missing = jobs.value !== null && job === undefined;
  useEffect(() => {
    let wanted = missing;
    setProblem(null);
    if (missing) {
      server.find(run).catch((error: unknown) => wanted && setProblem(problemIn(error)));
    }
    return () => {
      wanted = false;
    };
  }, [run, missing, connection.status]);
  return { job, problem };
}
