import { useEffect, useRef } from 'react';

import { useKnown } from '../../context';
import { percent } from '../../words';
import { STYLES } from '../colours';
import { Part } from './Part';
import { Select } from './Select';
import { useLooking, useViewer } from './use';

/** What is laid over the picture, and how strongly. */
export function Layers(): JSX.Element {
  const viewer = useViewer();
  const { opacity, style, labels, prediction } = useLooking();
  const { datasets } = useKnown();
  const made = (datasets.value ?? []).filter(
    data => data.classes.length > 0 && data.derived_from.includes(viewer.data.id)
  );
  const newest = made[0]?.name ?? null;
  const before = useRef(newest);
  useEffect(() => {
    if (datasets.value && newest !== before.current) {
      before.current = newest;
      newest && viewer.showPrediction(newest); // it has just been made: that is what one waits for
    }
  }, [newest, datasets.value === null]);
  const strength = (layer: 'labels' | 'prediction', title: string, there: boolean): JSX.Element => (
    <label className="mlex-Slide">
      <span>{title}</span>
      <input
        type="range"
        min={0}
        max={100}
        disabled={!there}
        aria-label={title}
        value={there ? Math.round(100 * opacity[layer]) : 0}
        onChange={event => viewer.set({ opacity: { ...opacity, [layer]: Number(event.target.value) / 100 } })}
      />
      <span className="mlex-num">{there && opacity[layer] > 0 ? percent(opacity[layer]) : 'off'}</span>
    </label>
  );
  return (
    <Part title="Layers">
      {strength('labels', 'Labels', labels !== null)}
      {strength('prediction', 'Prediction', prediction !== null)}
      <label className="mlex-Slide mlex-mod-wide">
        <span>of</span>
        <Select
          value={prediction ?? ''}
          disabled={made.length === 0}
          onPick={name => viewer.showPrediction(name || null)}
        >
          <option value="">{made.length === 0 ? 'No prediction yet' : 'none'}</option>
          {made.map(({ id, name }) => (
            <option key={id} value={name}>
              {name}
            </option>
          ))}
        </Select>
      </label>
      <div className="mlex-Slide mlex-mod-wide">
        <span>Style</span>
        <span className="mlex-Seg" role="group" aria-label="Style">
          {STYLES.map(each => (
            <button
              key={each}
              type="button"
              aria-pressed={style === each}
              onClick={() => viewer.set({ style: each })}
            >
              {each[0]!.toUpperCase() + each.slice(1)}
            </button>
          ))}
        </span>
      </div>
    </Part>
  );
}
