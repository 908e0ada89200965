import type { LabIcon } from '@jupyterlab/ui-components';
import type { Job } from '@mlex/api';

import { useKnown } from '../context';
import { brushIcon, gridIcon, layersIcon } from '../icons';
import { FINAL } from '../words';
import { Icon } from './Icon';

interface Node {
  icon: LabIcon;
  text: string;
  here?: boolean;
  /** Not there yet. */
  ghost?: boolean;
}

/** Where a run comes from, and what it leads to. */
export function Lineage({ job }: { job: Job }): JSX.Element {
  const { models } = useKnown();
  const published = (models.value ?? []).filter(entry => entry.run === job.id);
  const nodes = [
    ...sources(job),
    { icon: layersIcon, text: job.name, here: true },
    ...results(job, published)
  ];
  return (
    <footer className="mlex-Lineage" aria-label="Lineage">
      <ol>
        {nodes.map(({ icon, text, here, ghost }, i) => (
          <li key={i} className={`${here ? 'mlex-mod-here' : ''} ${ghost ? 'mlex-mod-ghost' : ''}`}>
            <Icon icon={icon} />
            {text}
          </li>
        ))}
      </ol>
      {!FINAL.has(job.state) && <span className="mlex-meta mlex-end">Goes on if you close the browser</span>}
    </footer>
  );
}

function sources({ spec: { task } }: Job): Node[] {
  switch (task.kind) {
    case 'train':
    case 'estimate':
      return [
        { icon: gridIcon, text: task.data },
        { icon: brushIcon, text: task.labels }
      ];
    case 'pretrain':
      return [{ icon: gridIcon, text: task.data }];
    case 'predict':
      return [
        { icon: gridIcon, text: task.data },
        { icon: layersIcon, text: task.model }
      ];
    case 'run':
      return [];
  }
}

function results(job: Job, published: readonly { name: string; version?: number | null }[]): Node[] {
  const models = published.map(({ name, version }) => ({ icon: layersIcon, text: `${name} v${version}` }));
  const volumes = job.outputs
    .filter(({ kind }) => kind === 'dataset' || kind === 'slices')
    .map(({ name }) => ({ icon: gridIcon, text: name }));
  return job.spec.task.kind === 'train' && !FINAL.has(job.state)
    ? [{ icon: layersIcon, text: 'model when done', ghost: true }]
    : [...models, ...volumes];
}
