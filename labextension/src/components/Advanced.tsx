import type { Choice } from '../choice';
import { count } from '../words';
import { SettingField } from './SettingField';

const GROUPS: readonly [string, string][] = [
  ['network', 'Network'],
  ['training', 'Training']
];

/** Every other setting, made from the architecture's schema. ● is changed. */
export function Advanced({ choice }: { choice: Choice }): JSX.Element | null {
  const { fields, params } = choice;
  const changed = Object.keys(params).length;
  if (fields.length === 0) {
    return null;
  }
  return (
    <details className="mlex-Advanced">
      <summary>
        Advanced{' '}
        <span className="mlex-meta">
          {count(fields.length, 'setting')}
          {changed > 0 && ` · ${changed} changed ●`}
        </span>
      </summary>
      {GROUPS.map(([group, title]) => {
        const own = fields.filter(field => (group === 'network') === (field.group === 'network'));
        return (
          own.length > 0 && (
            <fieldset key={group} className="mlex-Settings">
              <legend>{title}</legend>
              {own.map(field => (
                <SettingField
                  key={field.key}
                  field={field}
                  changed={field.key in params}
                  complaint={choice.complaints[field.key] ?? null}
                />
              ))}
            </fieldset>
          )
        );
      })}
    </details>
  );
}
