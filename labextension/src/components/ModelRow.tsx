import type { Dataset, ZooEntry } from '@mlex/api';

import { entryKey } from '../choice';
import { useMlex } from '../context';
import { layersIcon } from '../icons';
import { join, score } from '../words';
import { ActButton } from './ActButton';
import { Icon } from './Icon';
import { Picture } from './Picture';
import { Row } from './Row';

interface Props {
  entry: ZooEntry;
  /** What it would predict. */
  data: Dataset | null;
  selected: boolean;
}

export function ModelRow({ entry, data, selected }: Props): JSX.Element {
  const { actions, server } = useMlex();
  const { run } = entry;
  const dice = entry.metrics.dice;
  const published = entry.kind === 'model';
  const predict = published && data && (
    <ActButton
      act={`predict ${entryKey(entry)}`}
      look="small"
      title={`Segment ${data.name} with ${entry.name}`}
      onClick={() => void actions.predictPublished(entry, data)}
    >
      Predict
    </ActButton>
  );
  return (
    <Row
      id={entryKey(entry)}
      selected={selected}
      onOpen={() => void actions.pickModel(entry)}
      actions={predict}
      quiet
    >
      {run ? (
        <Picture
          of={run}
          load={() => server.runPicture(run)}
          alt=""
          className="mlex-Thumbnail mlex-mod-prediction"
        />
      ) : (
        <span className="mlex-Thumbnail mlex-mod-icon">
          <Icon icon={layersIcon} size={20} />
        </span>
      )}
      <span className="mlex-Row-text">
        <span className="mlex-Row-line">
          <span className="mlex-Row-name">{entry.name}</span>
          <span className="mlex-meta">{published ? `v${entry.version}` : 'starter'}</span>
          <span className="mlex-meta mlex-end mlex-num">
            {dice === undefined ? (
              'no score yet'
            ) : (
              <>
                Dice <b>{score(dice)}</b>
              </>
            )}
          </span>
        </span>
        <span className="mlex-meta mlex-trunc">
          {join(
            entry.title !== entry.name && entry.title,
            published ? entry.architecture : 'trains from zero'
          )}
        </span>
      </span>
    </Row>
  );
}
