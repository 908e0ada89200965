import { useKnown } from '../context';
import { count, left, percent } from '../words';
import { Ring } from './Ring';

/** "MLEx: 1 run · 24 % · 2:10 left", while something runs. */
export function StatusItem({ onClick }: { onClick: () => void }): JSX.Element | null {
  const { jobs } = useKnown();
  const running = (jobs.value ?? []).filter(job => job.state === 'running');
  const newest = running[0];
  if (!newest) {
    return null;
  }
  const parts = [count(running.length, 'run')];
  if (running.length === 1 && newest.progress) {
    parts.push(percent(newest.progress.fraction), left(newest.progress) ?? '');
  }
  return (
    <button type="button" className="mlex-Status" onClick={onClick} title="Show the MLExchange panel">
      <Ring size={13} />
      <span>MLEx: {parts.filter(Boolean).join(' · ')}</span>
    </button>
  );
}
