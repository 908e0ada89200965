/** A volume's page in the main area: look at it, and paint on it. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import type { Dataset, Problem } from '@mlex/api';
import { useEffect, useMemo, useState } from 'react';

import { Loading } from '../components/Loading';
import { Notice } from '../components/Notice';
import { ProblemBox } from '../components/ProblemBox';
import { type Mlex, useKnown, useMlex } from '../context';
import { brushIcon } from '../icons';
import { problemIn } from '../problems';
import { MlexWidget } from '../widget';
import { ViewerView } from './parts/ViewerView';
import { Viewer } from './viewer';

export class ViewerPage extends MainAreaWidget<MlexWidget> {
  constructor(
    mlex: Mlex,
    readonly data: string
  ) {
    super({ content: new MlexWidget(mlex, <Found name={data} />) });
    this.id = `mlex-view-${data}`;
    this.addClass('mlex-ViewerPage');
    this.toolbar.hide();
    this.title.icon = brushIcon;
    this.title.closable = true;
    this.title.label = data;
    this.title.caption = `Look at ${data}, and paint labels on it`;
  }
}

function Found({ name }: { name: string }): JSX.Element {
  const { server } = useMlex();
  const { labels, datasets } = useKnown();
  const { data, problem } = useDataset(name);
  const sets = labels[name];
  const viewer = useMemo(
    () => (data && (sets || data.classes.length > 0) ? new Viewer(server, data, sets ?? []) : null),
    [data?.id, sets === undefined]
  );
  useEffect(() => viewer?.keepUntilSaved(), [viewer]);
  if (viewer) {
    return <ViewerView viewer={viewer} />;
  }
  return (
    <>
      <Notice />
      {problem && datasets.value ? <ProblemBox problem={problem} /> : <Loading what="the volume" />}
    </>
  );
}

/** A dataset; one that is not in the list is asked for by itself. */
function useDataset(name: string): { data: Dataset | null; problem: Problem | null } {
  const { datasets } = useKnown();
  const { server } = useMlex();
  const [asked, setAsked] = useState<Dataset | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const listed = datasets.value?.find(each => each.name === name) ?? null;
  const missing = datasets.value !== null && listed === null;
  useEffect(() => {
    let wanted = missing;
    if (missing) {
      server.client.get('/datasets/{name}', { path: { name } }).then(
        found => wanted && setAsked(found),
        (error: unknown) => wanted && setProblem(problemIn(error))
      );
    }
    return () => {
      wanted = false;
    };
  }, [name, missing]);
  return { data: listed ?? asked, problem };
}
