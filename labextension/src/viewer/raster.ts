/** Slices as numbers: what they are, and those that were looked at or soon will be. */

export interface Raster {
  height: number;
  width: number;
  codes: Uint8Array | Uint16Array;
  /** The values that the smallest and the largest code stand for. */
  low: number;
  high: number;
  /** A good contrast to begin with. */
  dark: number;
  bright: number;
}

const NEWLINE = 10;

export function rasterIn(buffer: ArrayBuffer): Raster {
  const bytes = new Uint8Array(buffer);
  const end = bytes.indexOf(NEWLINE);
  const said = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as Omit<Raster, 'codes'> & {
    bits: number;
  };
  const pixels = buffer.slice(end + 1);
  return { ...said, codes: said.bits === 16 ? new Uint16Array(pixels) : new Uint8Array(pixels) };
}

/** The value that a code stands for. */
export function valueOf({ codes, low, high }: Raster, code: number): number {
  const most = codes instanceof Uint16Array ? 65535 : 255;
  return low + (code / most) * (high - low);
}

export interface Place {
  axis: number;
  index: number;
  size: number;
}

type Load = (place: Place, signal: AbortSignal) => Promise<ArrayBuffer>;

/** Rasters of one dataset: each is asked for once, and the oldest go when there are too many bytes. */
export class Rasters {
  constructor(
    private readonly load: Load,
    private readonly room = 256 << 20
  ) {}

  /** The raster, if it is here. */
  here(place: Place): Raster | undefined {
    const key = keyOf(place);
    const found = this.kept.get(key);
    if (found) {
      this.kept.delete(key); // to the end: it was used last
      this.kept.set(key, found);
    }
    return found;
  }

  async get(place: Place): Promise<Raster> {
    const key = keyOf(place);
    const coming = this.here(place) ?? this.coming.get(key)?.raster;
    return coming ?? this.ask(key, place);
  }

  /** Have these come, and no others that nobody waits for any more. */
  prefetch(places: readonly Place[], wanted: Place): void {
    const keys = new Set([wanted, ...places].map(keyOf));
    for (const [key, { stop }] of this.coming) {
      keys.has(key) || stop.abort();
    }
    places.forEach(place => void this.get(place).catch(() => undefined));
  }

  private ask(key: string, place: Place): Promise<Raster> {
    const stop = new AbortController();
    const raster = this.load(place, stop.signal)
      .then(buffer => {
        const found = rasterIn(buffer);
        this.keep(key, found);
        return found;
      })
      .finally(() => this.coming.delete(key));
    this.coming.set(key, { raster, stop });
    return raster;
  }

  private keep(key: string, raster: Raster): void {
    this.kept.set(key, raster);
    this.bytes += raster.codes.byteLength;
    for (const [old, { codes }] of this.kept) {
      if (this.bytes <= this.room || old === key) {
        return;
      }
      this.kept.delete(old);
      this.bytes -= codes.byteLength;
    }
  }

  private readonly kept = new Map<string, Raster>();
  private readonly coming = new Map<string, { raster: Promise<Raster>; stop: AbortController }>();
  private bytes = 0;
}

function keyOf({ axis, index, size }: Place): string {
  return `${axis} ${index} ${size}`;
}
