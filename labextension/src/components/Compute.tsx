import { caretDownEmptyIcon } from '@jupyterlab/ui-components';

import { useKnown, useMlex, useScreen } from '../context';
import { clusterIcon, laptopIcon } from '../icons';
import { freeShort } from '../words';
import { Icon } from './Icon';

/** Where the next run goes: the only place that says so. A choice where there is one. */
export function Compute(): JSX.Element | null {
  const { targets, connection } = useKnown();
  const { target } = useScreen();
  const { screen } = useMlex();
  const all = targets.value ?? [];
  const chosen = all.find(each => each.name === target) ?? all[0];
  if (!chosen) {
    return null;
  }
  const state = connection.status === 'offline' ? '?' : chosen.ready ? freeShort(chosen) : 'not ready';
  return (
    <span
      className="mlex-Compute"
      title={`Where the next run goes: ${chosen.title}, ${chosen.reason ?? state}`}
    >
      <Icon icon={chosen.kind === 'local' ? laptopIcon : clusterIcon} />
      <b>{chosen.title}</b>
      <span className="mlex-meta">{state}</span>
      {all.length > 1 && (
        <>
          <Icon icon={caretDownEmptyIcon} size={16} />
          <select
            aria-label="Compute: where the next run goes"
            value={chosen.name}
            onChange={event => screen.set({ target: event.target.value })}
          >
            {all.map(each => (
              <option key={each.name} value={each.name}>
                {each.title} · {each.ready ? freeShort(each) : (each.reason ?? 'not ready')}
              </option>
            ))}
          </select>
        </>
      )}
    </span>
  );
}
