import type { Job } from '@mlex/api';

import { useKnown } from '../context';
import type { Curve } from '../curve';
import { score } from '../words';
import { Card } from './Card';

/** The validation Dice of each class: after the newest epoch, and of a run that is done after its best. */
export function ClassScores({ job, curve }: { job: Job; curve: Curve | null }): JSX.Element | null {
  const { labels } = useKnown();
  const epoch = job.state === 'done' ? curve?.best : curve?.epochs.at(-1);
  const scores = Object.entries(epoch?.dice_by_class ?? {});
  if (!epoch || scores.length === 0) {
    return null;
  }
  const task = job.spec.task;
  const sets = task.kind === 'train' ? (labels[task.data] ?? []) : [];
  const classes = sets.find(set => task.kind === 'train' && set.name === task.labels)?.classes ?? [];
  return (
    <Card title="Dice by class" aside={<span className="mlex-meta">epoch {epoch.epoch}</span>}>
      <ul className="mlex-ClassScores">
        {scores.map(([name, dice], i) => {
          const value = classes.find(one => one.name === name)?.value ?? i + 1;
          return (
            <li key={name}>
              <span className={`mlex-Swatch mlex-mod-c${((value - 1) % 7) + 1}`} aria-hidden="true" />
              <span className="mlex-trunc">{name}</span>
              {dice === null ? (
                <span className="mlex-meta">no labels kept apart</span>
              ) : (
                <span className="mlex-Bar">
                  <i
                    style={{ width: `${dice * 100}%`, background: `var(--mlex-c${((value - 1) % 7) + 1})` }}
                  />
                </span>
              )}
              <b className="mlex-num">{score(dice)}</b>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}
