/** Colours: of grey values between dark and bright, and of classes. As numbers for a canvas, red in the lowest byte. */

import type { Raster } from './raster';

export const MAPS = ['grey', 'inverted', 'viridis', 'fire'] as const;
export type MapName = (typeof MAPS)[number];

const OPAQUE = 0xff000000;
const UNLABELLED = 0xff181818;
/** Where a map passes, at equal distances. */
const STOPS: Record<MapName, readonly string[]> = {
  grey: ['#000000', '#ffffff'],
  inverted: ['#ffffff', '#000000'],
  viridis: [
    '#440154',
    '#472d7b',
    '#3b528b',
    '#2c728e',
    '#21918c',
    '#28ae80',
    '#5ec962',
    '#addc30',
    '#fde725'
  ],
  fire: ['#000004', '#1f0c48', '#550f6d', '#88226a', '#ba3655', '#e35933', '#f98e09', '#f9cb35', '#fcffa4']
};

/** "#e69f00" as red, green and blue. */
export function rgb(hex: string): [number, number, number] {
  const number = parseInt(hex.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** A colour for every code of a raster. */
export function greyTable(raster: Raster, dark: number, bright: number, map: MapName): Uint32Array {
  const size = raster.codes instanceof Uint16Array ? 65536 : 256;
  const ramp = rampOf(map);
  const step = (raster.high - raster.low) / (size - 1);
  const span = bright - dark || Number.MIN_VALUE;
  const table = new Uint32Array(size);
  for (let code = 0; code < size; code++) {
    const part = (raster.low + code * step - dark) / span;
    table[code] = ramp[Math.max(0, Math.min(255, Math.round(part * 255)))] ?? OPAQUE;
  }
  return table;
}

/** A colour for every value of a segmentation. */
export function classTable(classes: readonly Coloured[]): Uint32Array {
  const table = new Uint32Array(256).fill(UNLABELLED);
  for (const { value, color } of classes) {
    const [red, green, blue] = rgb(color);
    table[value] = (OPAQUE | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return table;
}

const ramps = new Map<MapName, Uint32Array>();

function rampOf(map: MapName): Uint32Array {
  const known = ramps.get(map);
  if (known) {
    return known;
  }
  const stops = STOPS[map].map(rgb);
  const ramp = Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const [from, to] = [stops[Math.floor(at)]!, stops[Math.ceil(at)]!];
    const mixed = from.map((value, c) => Math.round(value + (to[c]! - value) * (at % 1)));
    return (OPAQUE | (mixed[2]! << 16) | (mixed[1]! << 8) | mixed[0]!) >>> 0;
  });
  ramps.set(map, ramp);
  return ramp;
}

/** What is laid over the grey: three bytes a value, and how strong it is, 0 to 256. */
export interface Overlay {
  values: Uint8Array;
  height: number;
  width: number;
  red: Uint8Array;
  green: Uint8Array;
  blue: Uint8Array;
  strength: Uint16Array;
  style: Style;
}

export const STYLES = ['fill', 'outline', 'pattern'] as const;
export type Style = (typeof STYLES)[number];

interface Coloured {
  value: number;
  color: string;
}

export function overlayOf(
  values: Uint8Array,
  height: number,
  width: number,
  classes: readonly Coloured[],
  hidden: ReadonlySet<number>,
  opacity: number,
  style: Style
): Overlay {
  const [red, green, blue] = [new Uint8Array(256), new Uint8Array(256), new Uint8Array(256)];
  const strength = new Uint16Array(256);
  for (const { value, color } of classes) {
    [red[value], green[value], blue[value]] = rgb(color);
    strength[value] = hidden.has(value) ? 0 : Math.round(256 * opacity);
  }
  return { values, height, width, red, green, blue, strength, style };
}
