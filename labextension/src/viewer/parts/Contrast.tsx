import { useMemo } from 'react';

import { MAPS } from '../colours';
import type { Raster } from '../raster';
import { Part } from './Part';
import { Select } from './Select';
import { useLooking, useViewer } from './use';

const BINS = 96;
const STEPS = 1000;

/** Which values are black and white, over how often each occurs in this slice. */
export function Contrast(): JSX.Element | null {
  const viewer = useViewer();
  const { contrast, map } = useLooking();
  const { raster } = viewer.slices;
  const bins = useMemo(() => raster && histogram(raster), [raster]);
  if (!raster || !bins || !contrast) {
    return null;
  }
  const [least, most] = bins.range;
  const part = (value: number): number => Math.max(0, Math.min(1, (value - least) / (most - least || 1)));
  const set = (which: 0 | 1, text: string): void => {
    const value = least + (Number(text) / STEPS) * (most - least);
    const tiny = (most - least) / STEPS;
    viewer.set({
      contrast:
        which === 0
          ? [Math.min(value, contrast[1] - tiny), contrast[1]]
          : [contrast[0], Math.max(value, contrast[0] + tiny)]
    });
  };
  const path = bins.heights.map((height, i) => `${(i / (BINS - 1)) * 100},${40 - 38 * height}`).join(' ');
  const [dark, bright] = [100 * part(contrast[0]), 100 * part(contrast[1])];
  return (
    <Part
      title="Contrast"
      actions={
        <button
          type="button"
          className="mlex-Button mlex-mod-small"
          onClick={() => viewer.auto()}
          title="Automatic (C)"
        >
          Auto
        </button>
      }
    >
      <div className="mlex-Histogram">
        <svg viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">
          <rect x={dark} width={Math.max(0, bright - dark)} y={0} height={40} />
          <polygon points={`0,40 ${path} 100,40`} />
          <line x1={dark} x2={dark} y1={0} y2={40} />
          <line x1={bright} x2={bright} y1={0} y2={40} />
        </svg>
        {([0, 1] as const).map(which => (
          <input
            key={which}
            type="range"
            min={0}
            max={STEPS}
            value={Math.round(STEPS * part(contrast[which]))}
            aria-label={which === 0 ? 'Black' : 'White'}
            aria-valuetext={shown(contrast[which])}
            onChange={event => set(which, event.target.value)}
          />
        ))}
        <p className="mlex-meta mlex-num">
          <span>{shown(contrast[0])}</span>
          <span>{shown(contrast[1])}</span>
        </p>
      </div>
      <label className="mlex-Slide mlex-mod-wide">
        <span>Colours</span>
        <Select value={map} onPick={name => viewer.set({ map: name as (typeof MAPS)[number] })}>
          {MAPS.map(name => (
            <option key={name}>{name}</option>
          ))}
        </Select>
      </label>
    </Part>
  );
}

function shown(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

/** How often values occur, from 0 to 1, between the least and the largest that do. */
export function histogram({ codes, low, high }: Raster): { heights: number[]; range: [number, number] } {
  const most = codes instanceof Uint16Array ? 65535 : 255;
  const step = Math.max(1, Math.floor(codes.length / 100_000));
  let [from, to] = [most, 0];
  for (let i = 0; i < codes.length; i += step) {
    const code = codes[i]!;
    from = Math.min(from, code);
    to = Math.max(to, code);
  }
  const counts = new Array<number>(BINS).fill(0);
  for (let i = 0; i < codes.length; i += step) {
    counts[Math.floor(((codes[i]! - from) / (to - from + 1)) * BINS)]! += 1;
  }
  const sorted = [...counts].sort((a, b) => b - a);
  const tallest = sorted[2] || sorted[0] || 1; // a ground of one value must not make the rest flat
  const value = (code: number): number => low + (code / most) * (high - low);
  return { heights: counts.map(n => Math.min(1, n / tallest)), range: [value(from), value(to)] };
}
