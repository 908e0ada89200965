import { useSyncExternalStore } from 'react';

import { Icon } from '../../components/Icon';
import { useKnown, useMlex, useScreen } from '../../context';
import { okIcon, playIcon } from '../../icons';
import { count } from '../../words';
import { useLooking, useViewer } from './use';

const ENOUGH_CLASSES = 2;

/** Where one is on the way, and the one button for what comes next. */
export function Steps(): JSX.Element {
  const viewer = useViewer();
  const { actions } = useMlex();
  const { balance, classes, labels, tool, prediction } = useLooking();
  const { jobs } = useKnown();
  const { underWay } = useScreen();
  const painted = new Set(balance.flatMap(({ counts }) => Object.keys(counts).filter(name => counts[name])));
  const enough = painted.size >= ENOUGH_CLASSES;
  const runs = (jobs.value ?? []).filter(
    ({ spec: { task } }) => task.kind === 'train' && task.data === viewer.data.name
  );
  const trained = runs.some(({ state }) => state === 'done');
  const at = prediction !== null ? 3 : tool === 'pan' && !enough ? 0 : runs.some(running) ? 2 : 1;
  const done = [at > 0, enough, trained, false];
  const missing = ENOUGH_CLASSES - painted.size;
  return (
    <div className="mlex-Steps">
      <ol>
        {['Look', 'Paint', 'Train', 'Check'].map((word, i) => (
          <li
            key={word}
            className={i === at ? 'mlex-mod-on' : ''}
            aria-current={i === at ? 'step' : undefined}
          >
            {done[i] && i !== at ? (
              <span className="mlex-is-ok">
                <Icon icon={okIcon} size={20} />
              </span>
            ) : (
              <b className="mlex-num">{i + 1}</b>
            )}
            {word}
          </li>
        ))}
      </ol>
      <span className="mlex-end mlex-Steps-state" role="status">
        {enough ? (
          <span className="mlex-Badge mlex-is-ok">
            <Icon icon={okIcon} /> Enough to try: {count(balance.length, 'slice')},{' '}
            {count(painted.size, 'class', 'classes')}
          </span>
        ) : (
          <span className="mlex-meta">
            {labels === null || classes.length === 0
              ? 'Paint a little of each class to train on.'
              : `Paint ${missing === ENOUGH_CLASSES ? 'two classes' : 'one more class'} to train on.`}
          </span>
        )}
      </span>
      <Saved />
      <button
        type="button"
        className="mlex-Button mlex-mod-primary"
        disabled={!enough || underWay.includes('train')}
        onClick={() => actions.trainOn(viewer.data.name, labels ?? '')}
      >
        <Icon icon={playIcon} /> Train…
      </button>
    </div>
  );
}

function running({ state }: { state: string }): boolean {
  return state === 'running' || state === 'queued' || state === 'waiting';
}

/** Whether all that was painted is safe, in words. */
function Saved(): JSX.Element | null {
  const viewer = useViewer();
  useLooking();
  return viewer.labels && <SavedOf labels={viewer.labels} />;
}

function SavedOf({
  labels
}: {
  labels: NonNullable<ReturnType<typeof useViewer>['labels']>;
}): JSX.Element | null {
  const { state, problem } = useSyncExternalStore(labels.saving.subscribe, labels.saving.get);
  const words = {
    saved: labels.saving.get().at === null ? '' : 'Saved',
    saving: 'Saving…',
    waiting: 'Not saved yet',
    refused: 'Not saved'
  }[state];
  return words ? (
    <span
      className={`mlex-Badge ${state === 'saved' ? 'mlex-is-ok' : ''}`}
      role="status"
      title={problem ? `${problem.message} ${problem.hint ?? ''}` : undefined}
    >
      {state === 'saved' && <Icon icon={okIcon} />} {words}
    </span>
  ) : null;
}
