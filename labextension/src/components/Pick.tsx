import { caretDownEmptyIcon } from '@jupyterlab/ui-components';
import { useId } from 'react';

import { Icon } from './Icon';

interface Option {
  value: string;
  text: string;
  group?: string;
}

interface Props {
  label: string;
  value: string;
  /** What stands there when there is nothing to pick. */
  empty: string;
  options: readonly Option[];
  onPick: (value: string) => void;
}

/** A labelled choice: the browser's own select, in the panel's clothes. */
export function Pick({ label, value, empty, options, onPick }: Props): JSX.Element {
  const id = useId();
  const groups = [...new Set(options.map(option => option.group ?? ''))];
  return (
    <>
      <label htmlFor={id}>{label}</label>
      <span className="mlex-Select">
        <select
          id={id}
          className="mlex-Field"
          value={value}
          disabled={options.length === 0}
          onChange={event => onPick(event.target.value)}
        >
          {options.length === 0 && <option value="">{empty}</option>}
          {groups.map(group => {
            const own = options.filter(option => (option.group ?? '') === group);
            const lines = own.map(option => (
              <option key={option.value} value={option.value}>
                {option.text}
              </option>
            ));
            return group && groups.length > 1 ? (
              <optgroup key={group} label={group}>
                {lines}
              </optgroup>
            ) : (
              lines
            );
          })}
        </select>
        <Icon icon={caretDownEmptyIcon} size={16} />
      </span>
    </>
  );
}
