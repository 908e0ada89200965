import { useKnown } from '../context';
import { offlineIcon } from '../icons';
import { count, join, left, percent } from '../words';
import { Icon } from './Icon';
import { Ring } from './Ring';

/** "MLEx: 1 run · 24 % · 2:10 left", while something runs. */
export function StatusItem({ onClick }: { onClick: () => void }): JSX.Element | null {
  const { jobs, connection } = useKnown();
  const running = (jobs.value ?? []).filter(job => job.state === 'running');
  const newest = running[0];
  if (!newest) {
    return null;
  }
  const offline = connection.status === 'offline';
  const parts: (string | null)[] = [count(running.length, 'run')];
  if (running.length === 1 && newest.progress) {
    parts.push(percent(newest.progress.fraction), left(newest.progress));
  }
  return (
    <button type="button" className="mlex-Status" onClick={onClick} title="Show the MLExchange panel">
      {offline ? <Icon icon={offlineIcon} size={13} /> : <Ring size={13} />}
      <span>MLEx: {offline ? 'no connection' : join(...parts)}</span>
    </button>
  );
}
