import { useKnown, useMlex, useScreen } from '../context';
import { choose, entryKey } from '../choice';
import { layersIcon } from '../icons';
import { finds } from '../words';
import { Empty } from './Empty';
import { ModelRow } from './ModelRow';
import { NothingFound } from './NothingFound';
import { ProblemBox } from './ProblemBox';
import { Rows } from './Rows';
import { Waiting } from './Waiting';

export function ModelsSection(): JSX.Element {
  const known = useKnown();
  const screen = useScreen();
  const { actions } = useMlex();
  const { value } = known.models;
  const trouble = screen.troubles.models ?? null;
  const choice = choose(known, screen);
  const chosen = choice.like ? entryKey(choice.like) : choice.architecture?.name;
  const shown = (value ?? []).filter(entry => finds(screen.query, entry.name, entry.title, ...entry.tags));
  return (
    <>
      {trouble && <ProblemBox problem={trouble} onDismiss={() => actions.dismiss('models')} />}
      {value === null ? (
        <Waiting asked={known.models} what="models" />
      ) : value.length === 0 ? (
        <Empty
          icon={layersIcon}
          title="No models"
          text="Install an architecture, or publish a run that is done."
        />
      ) : shown.length === 0 ? (
        <NothingFound what="model" />
      ) : (
        <Rows label="Models" ids={shown.map(entryKey)}>
          {shown.map(entry => (
            <ModelRow
              key={`${entry.kind}:${entryKey(entry)}`}
              entry={entry}
              data={choice.data}
              selected={entryKey(entry) === chosen}
            />
          ))}
        </Rows>
      )}
    </>
  );
}
