import { searchIcon } from '@jupyterlab/ui-components';

import { useMlex, useScreen } from '../context';
import { Icon } from './Icon';

/** One search over models, data and runs. */
export function Search(): JSX.Element {
  const { query } = useScreen();
  const { screen } = useMlex();
  return (
    <label className="mlex-Search">
      <Icon icon={searchIcon} />
      <input
        type="search"
        placeholder="Search models, data, runs…"
        aria-label="Search models, data and runs"
        value={query}
        onChange={event => screen.set({ query: event.target.value })}
        onKeyDown={event => event.key === 'Escape' && screen.set({ query: '' })}
        data-lm-suppress-shortcuts="true"
      />
      {query === '' && <kbd aria-hidden="true">/</kbd>}
    </label>
  );
}
