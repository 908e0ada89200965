import type { Curve } from '../curve';
import { count, score } from '../words';
import { Card } from './Card';
import { Chart, type Line } from './Chart';
import { Legend } from './Legend';

const LINES: readonly Line[] = [{ name: 'mean', color: '--mlex-line3', points: true }];

/** How well the validation pixels are found, epoch by epoch. */
export function DiceChart({ curve }: { curve: Curve | null }): JSX.Element {
  const epochs = curve?.epochs ?? [];
  const last = epochs.at(-1)?.dice;
  const now = typeof last === 'number' ? `, now ${score(last)}` : '';
  return (
    <Card title="Dice, validation" aside={<Legend lines={LINES} />}>
      <Chart
        label={`Validation Dice, ${count(epochs.length, 'epoch')}${now}`}
        version={curve?.version ?? 0}
        lines={LINES}
        data={() => [epochs.map(({ epoch }) => epoch), epochs.map(({ dice }) => dice)]}
        end={curve?.shownEpochs ?? null}
        tick={1}
        top={1}
      />
    </Card>
  );
}
