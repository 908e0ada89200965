import type { Job } from '@mlex/api';
import { useState } from 'react';

import { useMlex } from '../context';
import { highest, type Curve, type Snapshot } from '../curve';
import { FINAL, score } from '../words';
import { Picture } from './Picture';

/** The same slice after every epoch: your labels at the left, the prediction at the right.
 *
 * While a run goes on the newest is shown; when it is done, the epoch whose weights were kept.
 */
export function EpochPictures({ job, curve }: { job: Job; curve: Curve | null }): JSX.Element {
  const { server } = useMlex();
  const [picked, pick] = useState<number | null>(null);
  const pictures = curve?.pictures ?? [];
  const unlabelled = job.spec.task.kind === 'pretrain';
  const first =
    job.state === 'done' ? (highest(pictures, ({ dice }) => dice) ?? pictures.at(-1)) : pictures.at(-1);
  const shown = pictures.find(({ epoch }) => epoch === picked) ?? first;
  if (!shown) {
    return (
      <div className="mlex-Stage mlex-mod-empty">
        <p>
          {FINAL.has(job.state)
            ? 'This run ended before its first picture.'
            : 'The first picture comes with the first epoch.'}
        </p>
      </div>
    );
  }
  const load = (epoch: number) => () => server.runPicture(job.id, epoch);
  return (
    <>
      <figure className="mlex-Stage">
        <Picture
          of={`${job.id}/${shown.epoch}`}
          load={load(shown.epoch)}
          alt={`${unlabelled ? 'Patches and those most alike' : 'Labels beside the prediction'} after epoch ${shown.epoch}`}
        />
        {unlabelled ? (
          <span className="mlex-Tag">Patches, and those most alike · epoch {shown.epoch}</span>
        ) : (
          <>
            <span className="mlex-Tag">Your labels{shown.z !== null && ` · slice ${shown.z}`}</span>
            <span className="mlex-Tag mlex-mod-middle">Prediction · epoch {shown.epoch}</span>
          </>
        )}
        {shown.dice !== null && <span className="mlex-Tag mlex-mod-right">Dice {score(shown.dice)}</span>}
      </figure>
      {pictures.length > 1 && (
        <div className="mlex-Film" role="group" aria-label="Pictures by epoch">
          {spread(pictures, shown, 5).map(({ epoch, dice }) => (
            <button
              key={epoch}
              type="button"
              aria-pressed={epoch === shown.epoch}
              onClick={() => pick(epoch === first?.epoch ? null : epoch)}
            >
              <Picture of={`${job.id}/${epoch}`} load={load(epoch)} alt="" className="mlex-mod-prediction" />
              <span className="mlex-num">
                epoch {epoch}
                {dice !== null && ` · ${score(dice).replace(/^0/, '')}`}
              </span>
            </button>
          ))}
        </div>
      )}
    </>
  );
}

/** A few of many: the first, the last and the one that is shown among them. */
function spread(all: readonly Snapshot[], shown: Snapshot, most: number): Snapshot[] {
  if (all.length <= most) {
    return [...all];
  }
  const at = new Set(Array.from({ length: most }, (_, i) => Math.round((i * (all.length - 1)) / (most - 1))));
  return all.filter((each, i) => at.has(i) || each.epoch === shown.epoch);
}
