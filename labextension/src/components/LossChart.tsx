import type { Curve } from '../curve';
import { count } from '../words';
import { Card } from './Card';
import { Chart, type Line } from './Chart';
import { Legend } from './Legend';

const LINES: readonly Line[] = [
  { name: 'train', color: '--mlex-line1' },
  { name: 'validation', color: '--mlex-line2', dashed: true, points: true }
];

/** The loss at every step, and the validation loss where epochs end. */
export function LossChart({ curve }: { curve: Curve | null }): JSX.Element {
  const ends = new Map(curve?.epochs.map(({ step, val_loss }) => [step, val_loss]));
  const steps = curve?.steps ?? [];
  const last = curve?.losses.at(-1);
  const perEpoch = curve?.stepsPerEpoch ?? null;
  return (
    <Card title="Loss" aside={<Legend lines={LINES} />}>
      <Chart
        label={`Loss, ${count(steps.length, 'step')}${last === undefined ? '' : `, now ${last.toPrecision(3)}`}`}
        version={curve?.version ?? 0}
        lines={LINES}
        data={() => [steps, curve?.losses ?? [], steps.map(step => ends.get(step) ?? null)]}
        end={perEpoch !== null && curve?.shownEpochs ? perEpoch * curve.shownEpochs : null}
        tick={perEpoch}
      />
    </Card>
  );
}
