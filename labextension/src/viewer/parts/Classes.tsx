import { addIcon } from '@jupyterlab/ui-components';
import { useState } from 'react';

import { IconButton } from '../../components/IconButton';
import { useMlex } from '../../context';
import { hiddenIcon, visibleIcon } from '../../icons';
import { Part } from './Part';
import { useLooking, useViewer } from './use';

/** The classes: which is painted, which are seen, how much there is of each. */
export function Classes(): JSX.Element {
  const viewer = useViewer();
  const { actions } = useMlex();
  const { classes, labels, value, tool, hidden, balance, onlyUnlabelled } = useLooking();
  if (labels === null) {
    return (
      <Part title="Classes">
        <Begin />
      </Part>
    );
  }
  const pixels = (name: string): number =>
    Math.round(balance.reduce((sum, { counts }) => sum + (counts[name] ?? 0), 0));
  const add = async (): Promise<void> => {
    const name = await actions.ask('Add a class', 'Its name', '', 'Add');
    name && (await viewer.addClass(name));
  };
  const see = (one: number): void => {
    const next = new Set(hidden);
    next.delete(one) || next.add(one);
    viewer.set({ hidden: next });
  };
  const erasing = tool === 'eraser';
  return (
    <Part
      title="Classes"
      meta={labels}
      actions={<IconButton icon={addIcon} label="Add a class" onClick={() => void add()} />}
    >
      <ul className="mlex-Classes">
        <li className={erasing ? 'mlex-mod-selected' : ''}>
          <button type="button" aria-pressed={erasing} onClick={() => viewer.set({ tool: 'eraser' })}>
            <i className="mlex-Swatch mlex-mod-none" />
            <span className="mlex-trunc">
              Unlabelled <span className="mlex-meta">never trained on</span>
            </span>
          </button>
          <kbd>0</kbd>
        </li>
        {classes.map((each, i) => (
          <li key={each.value} className={!erasing && each.value === value ? 'mlex-mod-selected' : ''}>
            <button
              type="button"
              aria-pressed={!erasing && each.value === value}
              onClick={() => viewer.set({ value: each.value, tool: 'brush' })}
            >
              <i className={`mlex-Swatch mlex-mod-${each.value % 4}`} style={{ background: each.color }} />
              <span className="mlex-trunc">{each.name}</span>
              <span className="mlex-meta mlex-num mlex-end">{pixels(each.name).toLocaleString('en')} px</span>
            </button>
            <IconButton
              icon={hidden.has(each.value) ? hiddenIcon : visibleIcon}
              label={`${hidden.has(each.value) ? 'Show' : 'Hide'} ${each.name}`}
              onClick={() => see(each.value)}
            />
            <kbd>{i < 9 ? i + 1 : ''}</kbd>
          </li>
        ))}
      </ul>
      <label className="mlex-Check">
        <input
          type="checkbox"
          checked={onlyUnlabelled}
          onChange={event => viewer.set({ onlyUnlabelled: event.target.checked })}
        />
        Paint only on unlabelled
      </label>
    </Part>
  );
}

/** No labels yet: name the classes, and paint. */
function Begin(): JSX.Element {
  const viewer = useViewer();
  const { busy } = useLooking();
  const [names, setNames] = useState('Pore, Solid');
  const classes = names
    .split(',')
    .map(name => name.trim())
    .filter(Boolean);
  return (
    <form
      className="mlex-Begin"
      onSubmit={event => {
        event.preventDefault();
        void viewer.newLabels('labels', classes);
      }}
    >
      <p className="mlex-meta">
        Which things do you want to tell apart? A few strokes of each on a few slices are enough.
      </p>
      <label htmlFor="mlex-begin-classes">Classes</label>
      <input
        id="mlex-begin-classes"
        className="mlex-Field"
        value={names}
        onChange={event => setNames(event.target.value)}
        autoComplete="off"
      />
      <button type="submit" className="mlex-Button mlex-mod-primary" disabled={busy || classes.length === 0}>
        Begin to paint
      </button>
    </form>
  );
}
