import { caretLeftIcon, caretRightIcon } from '@jupyterlab/ui-components';

import { IconButton } from '../../components/IconButton';
import { useLooking, useViewer } from './use';

/** The slider through the volume, with marks where labels are. */
export function SliceBar(): JSX.Element {
  const viewer = useViewer();
  const { axis, index, balance } = useLooking();
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
