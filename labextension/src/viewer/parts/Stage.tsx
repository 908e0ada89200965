import { useEffect, useRef, useState } from 'react';

import { score } from '../../words';
import { fitted, scaleBar, zoomed } from '../geometry';
import { Surface, type Under } from '../surface';
import { useLooking, useViewer } from './use';

const BAR_ROOM = 110;

/** The picture, with what is under the pointer, how near it is, and how long things are. */
export function Stage(): JSX.Element {
  const viewer = useViewer();
  const { axis, index, tool, view, labels } = useLooking();
  const canvas = useRef<HTMLCanvasElement>(null);
  const ring = useRef<HTMLDivElement>(null);
  const [surface, setSurface] = useState<Surface | null>(null);
  const [under, setUnder] = useState<Under | null>(null);
  useEffect(() => {
    const made = new Surface(viewer, canvas.current!, ring.current!, setUnder);
    setSurface(made);
    return () => made.dispose();
  }, [viewer]);

  const ratio = window.devicePixelRatio;
  const zoom = (factor: number): void => {
    if (surface && view) {
      const { width, height } = surface.size;
      viewer.look(zoomed(view, viewer.slice, surface.size, factor, { x: width / 2, y: height / 2 }));
    }
  };
  const name = `${viewer.data.name}, slice ${index} across ${'zyx'[axis]}`;
  return (
    <div className={`mlex-Stage mlex-mod-${tool}`}>
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={`${name}. Arrow keys change the slice; Escape leaves the picture.`}
      />
      <div ref={ring} className="mlex-Stage-ring" hidden />
      <div className="mlex-Stage-tag mlex-num" aria-live="off">
        {placeOf(viewer.data.name, axis, index, under)}
      </div>
      <div className="mlex-Stage-zoom">
        <button type="button" aria-label="Farther" onClick={() => zoom(0.8)}>
          −
        </button>
        <span className="mlex-num">{view ? Math.round((100 * view.scale) / ratio) : 100} %</span>
        <button type="button" aria-label="Nearer" onClick={() => zoom(1.25)}>
          +
        </button>
        <button type="button" onClick={() => surface && viewer.look(fitted(viewer.slice, surface.size))}>
          Fit
        </button>
      </div>
      <ScaleBar />
      {labels === null && tool !== 'pan' && <p className="mlex-Stage-hint">Begin a label set to paint on.</p>}
    </div>
  );
}

function placeOf(name: string, axis: number, index: number, under: Under | null): string {
  const [down, along] = [
    ['y', 'x'],
    ['z', 'x'],
    ['z', 'y']
  ][axis]!;
  const place = `${name} · ${'zyx'[axis]} ${index}`;
  if (under === null) {
    return place;
  }
  const { x, y, value, label } = under;
  const shown = value === null ? '' : Number.isInteger(value) ? String(value) : score(value);
  return [place, `${along} ${x} · ${down} ${y}`, shown && `value ${shown}`, label]
    .filter(Boolean)
    .join(' · ');
}

function ScaleBar(): JSX.Element | null {
  const viewer = useViewer();
  const { view } = useLooking();
  const { pixel_size: sizes, pixel_unit: unit } = viewer.data;
  const size = sizes?.[sizes.length - 1];
  if (!view || !size) {
    return null;
  }
  const { length, pixels } = scaleBar(view.scale / window.devicePixelRatio, size, BAR_ROOM);
  return (
    <div className="mlex-Stage-scale mlex-num" style={{ width: pixels }}>
      {length} {unit ?? ''}
    </div>
  );
}
