import { caretLeftIcon, caretRightIcon } from '@jupyterlab/ui-components';

import { IconButton } from '../../components/IconButton';
import { useLooking, useViewer } from './use';

/** The slider through the volume, with marks where labels are. */
export function SliceBar(): JSX.Element {
  const viewer = useViewer();
  const { axis, index, balance, doubts } = useLooking();
  const last = viewer.depth(axis) - 1;
  const marks = axis === 0 ? balance.map(({ z }) => z) : [];
  return (
    <div className="mlex-SliceBar">
      <span className="mlex-num">
        <b>
          Slice {index} of {last + 1}
        </b>
      </span>
      <span className="mlex-SliceBar-track">
        {axis === 0 && doubts && <Doubts last={last} {...doubts} />}
        <svg viewBox={`-0.5 0 ${last + 1} 1`} preserveAspectRatio="none" aria-hidden="true">
          {marks.map(z => (
            <rect
              key={z}
              x={z - Math.max(0.5, last / 400) / 2}
              width={Math.max(0.5, last / 400)}
              y={0}
              height={1}
            />
          ))}
        </svg>
        <input
          type="range"
          min={0}
          max={last}
          value={index}
          disabled={last === 0}
          aria-label="Slice"
          aria-valuetext={`slice ${index} of ${last + 1}`}
          onChange={event => viewer.go(Number(event.target.value))}
        />
      </span>
      {axis === 0 && doubts && doubts.next.length > 0 && (
        <button
          type="button"
          className="mlex-Button mlex-mod-small"
          title="Of these slices the prediction is least sure, and they are not labelled yet (G)"
          onClick={() => viewer.suggested()}
        >
          Suggested slice
        </button>
      )}
      <IconButton
        icon={caretLeftIcon}
        label="Previous labelled slice"
        title="Previous labelled slice (Shift N)"
        onClick={() => viewer.labelled(-1)}
      />
      <IconButton
        icon={caretRightIcon}
        label="Next labelled slice"
        title="Next labelled slice (N)"
        onClick={() => viewer.labelled(1)}
      />
    </div>
  );
}

interface DoubtsProps {
  last: number;
  slices: readonly { z: number; uncertainty: number }[];
  next: readonly number[];
}

/** How unsure the prediction is, slice by slice; marks where labels would help most. */
function Doubts({ last, slices, next }: DoubtsProps): JSX.Element {
  const all = slices.map(({ uncertainty }) => uncertainty);
  const most = Math.max(...all, 1e-9);
  const least = 0.9 * Math.min(...all, most); // what differs is of interest
  const tall = (uncertainty: number): number => (uncertainty - least) / (most - least);
  const [width, thick] = [last + 1, Math.max(0.3, last / 400)];
  const title = `Uncertainty by slice${next.length ? `; worth labelling next: ${next.join(', ')}` : ''}`;
  return (
    <svg
      className="mlex-Doubts"
      viewBox={`-0.5 0 ${width} 1`}
      preserveAspectRatio="none"
      role="img"
      aria-label={title}
    >
      <title>{title}</title>
      {slices.map(({ z, uncertainty }) => (
        <rect key={z} x={z - 0.5} width={1} y={1 - tall(uncertainty)} height={tall(uncertainty)} />
      ))}
      {next.map(z => (
        <rect key={`next ${z}`} className="mlex-mod-next" x={z - thick / 2} width={thick} y={0} height={1} />
      ))}
    </svg>
  );
}
