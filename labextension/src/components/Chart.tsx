import { useEffect, useRef } from 'react';
import type uPlot from 'uplot';

export interface Line {
  name: string;
  /** The name of a CSS variable. */
  color: string;
  dashed?: boolean;
  /** Points are marked, as there are few. */
  points?: boolean;
}

interface Props {
  label: string;
  /** Draws anew when this grows. */
  version: number;
  lines: readonly Line[];
  data: () => uPlot.AlignedData;
  /** The last x that will come; null while it is not known. */
  end: number | null;
  /** How much x makes one epoch; null while it is not known, then x is written as it is. */
  tick: number | null;
  /** The highest y, where there is one. */
  top?: number;
}

const HEIGHT = 132;

/** A live chart. uPlot is loaded when the first one is shown. */
export function Chart({ label, version, lines, data, end, tick, top }: Props): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ data, end, tick });
  latest.current = { data, end, tick };

  useEffect(() => {
    const node = host.current;
    if (!node) {
      return;
    }
    let wanted = true;
    const draw = async (): Promise<void> => {
      const { default: UPlot } = await import('uplot');
      if (wanted) {
        plot.current?.destroy();
        plot.current = new UPlot(options(node, lines, latest, top), latest.current.data(), node);
        expose(node, plot.current);
      }
    };
    void draw();
    const resize = new ResizeObserver(() =>
      plot.current?.setSize({ width: node.clientWidth, height: HEIGHT })
    );
    resize.observe(node);
    // Changing its theme JupyterLab hides the page until the next frame: drawn before, a chart is 0 px wide.
    const theme = new MutationObserver(() => requestAnimationFrame(() => void draw()));
    theme.observe(document.body, {
      attributes: true,
      attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light']
    });
    return () => {
      wanted = false;
      resize.disconnect();
      theme.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    plot.current?.setData(latest.current.data());
    plot.current?.redraw(false, true); // the axes too: an epoch's length may have become known
  }, [version, end, tick]);

  return <div className="mlex-Chart" ref={host} role="img" aria-label={label} style={{ height: HEIGHT }} />;
}

type Latest = React.MutableRefObject<Pick<Props, 'data' | 'end' | 'tick'>>;

function options(
  node: HTMLElement,
  lines: readonly Line[],
  latest: Latest,
  top: number | undefined
): uPlot.Options {
  const style = getComputedStyle(node);
  const color = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color('--jp-ui-font-color2'),
    font: `10px ${color('--jp-ui-font-family')}`,
    grid: { stroke: color('--jp-border-color2'), width: 1 },
    ticks: { show: false },
    gap: 4
  };
  return {
    width: node.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 12, 0, 0],
    scales: {
      x: {
        time: false,
        range: (_, low, high) => [Math.min(0, low), Math.max(latest.current.end ?? 0, high, 1)]
      },
      y: { range: (_, low, high) => [Math.min(0, low), top ?? Math.max(high * 1.05, 0.1)] }
    },
    axes: [
      {
        ...axis,
        size: 20,
        space: 40,
        grid: { show: false },
        splits: (_, __, low, high) => ticks(low, high, latest.current.tick),
        values: (_, splits) => splits.map(x => String(Math.round(x / (latest.current.tick ?? 1))))
      },
      { ...axis, size: 34, space: 28, ...(top === 1 ? { splits: () => [0, 0.25, 0.5, 0.75, 1] } : {}) }
    ],
    series: [
      {},
      ...lines.map(line => ({
        label: line.name,
        stroke: color(line.color),
        width: 1.5,
        dash: line.dashed ? [5, 3] : undefined,
        spanGaps: true,
        points: { show: line.points ?? false, size: 5, fill: color(line.color) }
      }))
    ]
  };
}

/** Some six round numbers of epochs (or of steps, while an epoch's length is not known). */
function ticks(low: number, high: number, tick: number | null): number[] {
  const unit = tick ?? 1;
  const span = (high - low) / unit;
  const rough = span / 6;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = Math.max(1, [1, 2, 5, 10].map(factor => factor * power).find(size => size >= rough) ?? rough);
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, i) => low + i * step * unit);
}

/** What is drawn can be read from outside: by a person's script, and by the tests. */
function expose(node: HTMLElement, drawn: uPlot): void {
  Object.defineProperty(node, 'plot', { value: drawn, configurable: true });
}
