import { runIcon } from '@jupyterlab/ui-components';
import { useId } from 'react';

import { choose, entryKey } from '../choice';
import { useKnown, useMlex, useScreen } from '../context';
import { labelFacts } from '../words';
import { Advanced } from './Advanced';
import { Busy } from './Busy';
import { Icon } from './Icon';
import { Pick } from './Pick';
import { ProblemBox } from './ProblemBox';

/** What a training needs: data, labels, model and a name. Everything else is under Advanced. */
export function TrainSection(): JSX.Element {
  const known = useKnown();
  const screen = useScreen();
  const { actions, screen: set } = useMlex();
  const nameId = useId();
  const choice = choose(known, screen);
  const { data, labels, architecture, like } = choice;
  const sets = data ? (known.labels[data.name] ?? []) : [];
  const models = known.models.value ?? [];
  const presets = like === null ? Object.keys(architecture?.presets ?? {}) : []; // a model brings settings of its own
  const busy = screen.underWay.includes('train');
  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    void actions.train();
  };
  return (
    <form className="mlex-Train" aria-label="Train" onSubmit={submit} data-lm-suppress-shortcuts="true">
      <div className="mlex-Form">
        <Pick
          label="Data"
          value={data?.name ?? ''}
          empty={known.datasets.value ? 'No data yet' : '…'}
          options={(known.datasets.value ?? []).map(({ name }) => ({ value: name, text: name }))}
          onPick={name => actions.pickData(name)}
        />
        <Pick
          label="Labels"
          value={labels?.name ?? ''}
          empty="No labels yet"
          options={sets.map(each => ({ value: each.name, text: `${each.name}  ${labelFacts(each)}` }))}
          onPick={name => set.set({ labels: name })}
        />
        <Pick
          label="Model"
          value={like ? entryKey(like) : (architecture?.name ?? '')}
          empty={known.models.value ? 'No models' : '…'}
          options={models.map(entry => ({
            value: entryKey(entry),
            text:
              entry.kind === 'architecture'
                ? `${entry.name}  starts from zero`
                : `${entry.name} v${entry.version}  its settings, from zero`,
            group: entry.kind === 'architecture' ? 'Architectures' : 'Published'
          }))}
          onPick={key => {
            const entry = models.find(each => entryKey(each) === key);
            entry && void actions.pickModel(entry);
          }}
        />
        {presets.length > 0 && (
          <Pick
            label="Preset"
            value={choice.preset ?? ''}
            empty=""
            options={[{ value: '', text: 'standard' }, ...presets.map(each => ({ value: each, text: each }))]}
            onPick={preset => set.set({ preset: preset || null })}
          />
        )}
        <label htmlFor={nameId}>Name</label>
        <input
          id={nameId}
          className="mlex-Field"
          value={screen.name ?? ''}
          placeholder={choice.proposal}
          onChange={event => set.set({ name: event.target.value || null })}
          spellCheck={false}
          autoComplete="off"
        />
      </div>
      <Advanced choice={choice} />
      {screen.troubles.train && (
        <ProblemBox problem={screen.troubles.train} onDismiss={() => actions.dismiss('train')} />
      )}
      <div className="mlex-Buttons mlex-mod-wide">
        <button
          type="submit"
          className="mlex-Button mlex-mod-primary"
          disabled={choice.missing !== null || busy}
          aria-busy={busy}
          title={choice.missing ?? 'Train on the labelled pixels'}
        >
          <Icon icon={runIcon} /> Train
        </button>
      </div>
      {choice.missing && known.datasets.value && <p className="mlex-Nothing">{choice.missing}</p>}
      <Busy doing={screen.doing.train} />
    </form>
  );
}
