import type { Job } from '@mlex/api';

import { useKnown, useMlex } from '../context';
import { depth, FINAL, join, shape } from '../words';
import { Picture } from './Picture';

/** What a prediction made: a middle slice of it. */
export function RunResult({ job }: { job: Job }): JSX.Element {
  const { datasets } = useKnown();
  const { server } = useMlex();
  const output = job.outputs.find(each => each.kind === 'dataset');
  const made = datasets.value?.find(data => data.id === output?.ref || data.name === output?.name);
  if (!made) {
    return (
      <div className="mlex-Stage mlex-mod-empty">
        <p>
          {FINAL.has(job.state) ? 'This run made no volume.' : 'The result is shown when the run is done.'}
        </p>
      </div>
    );
  }
  const index = Math.floor(depth(made) / 2);
  return (
    <figure className="mlex-Stage mlex-mod-single">
      <Picture
        of={made.id}
        load={() => server.datasetPicture(made.name, { axis: 0, index, size: 512 })}
        alt={`Slice ${index} of ${made.name}`}
      />
      <span className="mlex-Tag">{join(made.name, shape(made.shape), `slice ${index}`)}</span>
    </figure>
  );
}
