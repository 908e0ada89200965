import type { Dataset, LabelSet } from '@mlex/api';

import { useMlex } from '../context';
import { bytes, depth, join, shape } from '../words';
import { brushIcon } from '../icons';
import { IconButton } from './IconButton';
import { Picture } from './Picture';
import { Row } from './Row';

interface Props {
  data: Dataset;
  sets: readonly LabelSet[];
  selected: boolean;
}

export function DataRow({ data, sets, selected }: Props): JSX.Element {
  const { actions, server } = useMlex();
  const labelled = Math.max(0, ...sets.map(set => set.slices.length));
  const slices = depth(data);
  const query = { size: 80, ...(slices > 1 ? { axis: 0, index: Math.floor(slices / 2) } : {}) };
  return (
    <Row
      id={data.id}
      selected={selected}
      onOpen={() => actions.pickData(data.name)}
      title={data.uri}
      quiet
      actions={
        <IconButton
          icon={brushIcon}
          label={`Look at ${data.name}, and paint`}
          onClick={() => actions.openViewer(data.name)}
        />
      }
    >
      <Picture
        of={data.id}
        load={() => server.datasetPicture(data.name, query)}
        alt=""
        className="mlex-Thumbnail"
      />
      <span className="mlex-Row-text">
        <span className="mlex-Row-line">
          <span className="mlex-Row-name">{data.name}</span>
          <span className="mlex-meta mlex-end">
            <span className="mlex-trunc">{data.tags[0] ?? ''}</span>
          </span>
        </span>
        <span className="mlex-meta mlex-num">{join(shape(data.shape), data.dtype, bytes(data.nbytes))}</span>
        <span className="mlex-meta mlex-num">
          {labelled > 0 && <i className="mlex-Dot" />}
          {data.classes.length > 0 && labelled === 0 ? 'segmentation' : `${labelled} of ${slices} labelled`}
        </span>
      </span>
    </Row>
  );
}
