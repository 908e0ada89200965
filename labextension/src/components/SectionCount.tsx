import { useKnown, useScreen } from '../context';
import { count, finds } from '../words';

/** What stands beside a section's title: "3", "2 of 14", "1 running · 1 queued". */
export function SectionCount({ of }: { of: 'datasets' | 'models' | 'jobs' }): JSX.Element {
  const known = useKnown();
  const { query } = useScreen();
  return (
    <span className="mlex-meta mlex-num">
      {of === 'jobs' ? standing(known.jobs.value) : sum(known[of].value, query)}
    </span>
  );
}

function sum(list: readonly { name: string; tags: readonly string[] }[] | null, query: string): string {
  if (list === null || list.length === 0) {
    return '';
  }
  const found = list.filter(each => finds(query, each.name, ...each.tags)).length;
  return found === list.length ? String(found) : `${found} of ${list.length}`;
}

function standing(jobs: readonly { state: string }[] | null): string {
  const all = jobs ?? [];
  const of = (...states: string[]): number => all.filter(job => states.includes(job.state)).length;
  const parts = [
    of('running') && `${of('running')} running`,
    of('queued', 'waiting') && `${of('queued', 'waiting')} queued`
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(' · ') : all.length > 0 ? count(all.length, 'run') : '';
}
