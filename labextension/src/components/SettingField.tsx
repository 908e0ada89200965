import { useId } from 'react';

import { useMlex, useScreen } from '../context';
import { range, type Field } from '../form';

interface Props {
  field: Field;
  changed: boolean;
  complaint: string | null;
}

/** One setting, with its bounds, and ● while it differs from the default. */
export function SettingField({ field, changed, complaint }: Props): JSX.Element {
  const { screen } = useMlex();
  const { typed, given } = useScreen();
  const id = useId();
  const said = useId();
  const preset = field.preset === null ? '' : String(field.preset);
  const text = typed[field.key] ?? String(given?.[field.key] ?? '');
  const type = (value: string): void => screen.set({ typed: { ...typed, [field.key]: value } });
  const shared = {
    id,
    className: 'mlex-Field',
    'aria-describedby': said,
    'aria-invalid': complaint !== null
  };
  return (
    <div className="mlex-Setting" title={field.help}>
      <label htmlFor={id}>
        {field.title}
        {changed && <span title={`Changed; the default is ${preset || 'none'}`}> ●</span>}
      </label>
      {field.kind === 'switch' ? (
        <input
          id={id}
          type="checkbox"
          aria-describedby={said}
          checked={(text || preset) === 'true'}
          onChange={event => type(String(event.target.checked))}
        />
      ) : field.kind === 'choice' ? (
        <select {...shared} value={text || preset} onChange={event => type(event.target.value)}>
          {field.choices.map(choice => (
            <option key={String(choice)} value={String(choice)}>
              {String(choice)}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          inputMode={field.kind === 'text' ? 'text' : 'decimal'}
          value={text}
          placeholder={preset}
          onChange={event => type(event.target.value)}
          autoComplete="off"
        />
      )}
      <p id={said} className={complaint ? 'mlex-Complaint' : 'mlex-meta'}>
        {complaint ?? [field.help, range(field)].filter(Boolean).join(' ')}
      </p>
    </div>
  );
}
