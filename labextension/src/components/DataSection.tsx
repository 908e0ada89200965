import { useKnown, useMlex, useScreen } from '../context';
import { choose } from '../choice';
import { gridIcon } from '../icons';
import { finds } from '../words';
import { Busy } from './Busy';
import { DataRow } from './DataRow';
import { Empty } from './Empty';
import { NothingFound } from './NothingFound';
import { ProblemBox } from './ProblemBox';
import { Rows } from './Rows';
import { Waiting } from './Waiting';

export function DataSection(): JSX.Element {
  const known = useKnown();
  const screen = useScreen();
  const { actions } = useMlex();
  const { value } = known.datasets;
  const trouble = screen.troubles.data ?? null;
  const shown = (value ?? []).filter(data => finds(screen.query, data.name, ...data.tags));
  const chosen = choose(known, screen).data?.name;
  return (
    <>
      {trouble && <ProblemBox problem={trouble} onDismiss={() => actions.dismiss('data')} />}
      {value === null ? (
        <Waiting asked={known.datasets} what="data" />
      ) : value.length === 0 ? (
        <Empty
          icon={gridIcon}
          title="No data yet"
          text="Start with the sample, or add a zarr, HDF5, TIFF or NumPy volume of yours."
        >
          <button
            type="button"
            className="mlex-Button mlex-mod-primary"
            disabled={Boolean(screen.doing.data)}
            onClick={() => void actions.makeSample()}
          >
            Make sample tomogram
          </button>
          <button type="button" className="mlex-Button" onClick={() => void actions.addData()}>
            Add a path…
          </button>
        </Empty>
      ) : shown.length === 0 ? (
        <NothingFound what="data" />
      ) : (
        <Rows label="Data" ids={shown.map(data => data.id)}>
          {shown.map(data => (
            <DataRow
              key={data.id}
              data={data}
              sets={known.labels[data.name] ?? []}
              selected={data.name === chosen}
            />
          ))}
        </Rows>
      )}
      <Busy doing={screen.doing.data} />
    </>
  );
}
