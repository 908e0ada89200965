import { redoIcon, undoIcon } from '@jupyterlab/ui-components';
import { useState, useSyncExternalStore } from 'react';

import { Icon } from '../../components/Icon';
import { IconButton } from '../../components/IconButton';
import { ProblemBox } from '../../components/ProblemBox';
import { brushIcon, eraserIcon, helpIcon, panIcon, pickIcon } from '../../icons';
import { KEYS } from '../keys';
import type { Labels } from '../labels';
import { LARGEST, SMALLEST, type Tool } from '../viewer';
import { useLooking, useViewer } from './use';

const TOOLS = [
  ['pan', 'Move the picture', 'V', panIcon],
  ['brush', 'Brush', 'B', brushIcon],
  ['eraser', 'Eraser', 'E', eraserIcon],
  ['pick', 'Pick a class from the picture', 'I', pickIcon]
] as const;

/** Tools, undo and redo, the brush's size, the direction one looks along, and help. */
export function Tools(): JSX.Element {
  const viewer = useViewer();
  const { tool, size, axis, labels } = useLooking();
  const [help, setHelp] = useState(false);
  const across = (next: number): void => {
    const canvas = document.querySelector<HTMLCanvasElement>('.mlex-Stage canvas');
    viewer.across(next, canvas ?? { width: 800, height: 600 });
  };
  return (
    <>
      <div className="mlex-Tools" role="toolbar" aria-label="Tools">
        {TOOLS.map(([name, title, key, icon]) => (
          <button
            key={name}
            type="button"
            className="mlex-Tool"
            aria-pressed={tool === name}
            aria-label={title}
            title={`${title} (${key})`}
            disabled={name !== 'pan' && labels === null}
            onClick={() => viewer.set({ tool: name as Tool })}
          >
            <Icon icon={icon} size={18} />
          </button>
        ))}
        <span className="mlex-Tools-gap" />
        {viewer.labels && <Turns labels={viewer.labels} />}
        <label className="mlex-Tools-label">
          Size
          <input
            type="range"
            min={0}
            max={100}
            value={100 * Math.sqrt((size - SMALLEST) / (LARGEST - SMALLEST))}
            disabled={labels === null}
            aria-valuetext={`${size} pixels`}
            onChange={event =>
              viewer.set({ size: SMALLEST + (Number(event.target.value) / 100) ** 2 * (LARGEST - SMALLEST) })
            }
          />
          <span className="mlex-num">{size} px</span>
        </label>
        <span className="mlex-Tools-gap" />
        <span className="mlex-Seg" role="group" aria-label="Look along">
          {['z', 'y', 'x'].map((letter, i) => (
            <button
              key={letter}
              type="button"
              aria-pressed={axis === i}
              disabled={viewer.depth(i) < 2 && i !== 0}
              title={`Slices across ${letter}`}
              onClick={() => across(i)}
            >
              {letter}
            </button>
          ))}
        </span>
        <span className="mlex-end" />
        <IconButton icon={helpIcon} label="All keys" onClick={() => setHelp(!help)} />
      </div>
      {help && (
        <div className="mlex-Viewer-over">
          <dl className="mlex-Keys" aria-label="Keys">
            {KEYS.map(([keys, does]) => (
              <div key={keys}>
                <dt>{keys}</dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </div>
      )}
      {viewer.labels && <Refused labels={viewer.labels} />}
    </>
  );
}

function Turns({ labels }: { labels: Labels }): JSX.Element {
  const viewer = useViewer();
  const { undo, redo } = useSyncExternalStore(labels.saving.subscribe, labels.saving.get);
  const button = (kind: 'undo' | 'redo', left: number, icon: typeof undoIcon, title: string): JSX.Element => (
    <button
      type="button"
      className="mlex-Tool"
      aria-label={title}
      title={`${title} (${left})`}
      disabled={left === 0}
      onClick={() => void viewer.takeBack(kind)}
    >
      <Icon icon={icon} size={18} />
    </button>
  );
  return (
    <>
      {button('undo', undo, undoIcon, 'Undo')}
      {button('redo', redo, redoIcon, 'Redo')}
      <span className="mlex-Tools-gap" />
    </>
  );
}

const PAINTED_MEANWHILE = {
  message: 'Somebody painted here since you saw it. Your last stroke is kept, and not painted.',
  hint: 'The picture shows what is there now.'
};

/** A stroke that did not go in, and what can become of it. */
function Refused({ labels }: { labels: Labels }): JSX.Element | null {
  const { state, problem, refused } = useSyncExternalStore(labels.saving.subscribe, labels.saving.get);
  if (problem === null || state === 'waiting') {
    return (
      problem && (
        <ProblemBox problem={{ ...problem, hint: 'What you painted waits here, and is sent again.' }} />
      )
    );
  }
  const dismiss = (): void => labels.saving.set({ problem: null, state: 'saved' });
  const said = refused === null ? problem : { ...problem, ...PAINTED_MEANWHILE };
  return (
    <ProblemBox problem={said} onDismiss={refused === null ? dismiss : undefined}>
      {refused !== null && (
        <>
          <button type="button" className="mlex-Button" onClick={() => void labels.settle('again')}>
            Paint mine over it
          </button>
          <button type="button" className="mlex-Button" onClick={() => void labels.settle('drop')}>
            Drop mine
          </button>
        </>
      )}
    </ProblemBox>
  );
}
