import { depth } from '../../words';
import { Part } from './Part';
import { useLooking, useViewer } from './use';

const SHOWN = 100;

/** The slices that have labels, each a click away. */
export function LabelledSlices(): JSX.Element {
  const viewer = useViewer();
  const { balance, index, axis } = useLooking();
  const pixels = (counts: Readonly<Record<string, number>>): number =>
    Object.values(counts).reduce((sum, n) => sum + n, 0);
  return (
    <Part title="Labelled slices" meta={`${balance.length} of ${depth(viewer.data)}`}>
      <ul className="mlex-Labelled">
        {balance.slice(0, SHOWN).map(({ z, counts }) => (
          <li key={z}>
            <button
              type="button"
              className={axis === 0 && z === index ? 'mlex-mod-selected' : ''}
              disabled={axis !== 0}
              onClick={() => viewer.go(z)}
            >
              <b className="mlex-num">{z}</b>
              <span className="mlex-meta mlex-num">{pixels(counts).toLocaleString('en')} px</span>
            </button>
          </li>
        ))}
      </ul>
      {balance.length > SHOWN && <p className="mlex-meta">and {balance.length - SHOWN} more</p>}
    </Part>
  );
}
