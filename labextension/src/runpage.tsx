/** A run's page in the main area. */

import { MainAreaWidget } from '@jupyterlab/apputils';

import { RunView } from './components/RunView';
import type { Mlex } from './context';
import { layersIcon } from './icons';
import { MlexWidget } from './widget';

export class RunPage extends MainAreaWidget<MlexWidget> {
  constructor(
    mlex: Mlex,
    readonly run: string
  ) {
    super({ content: new MlexWidget(mlex, <RunView run={run} />) });
    this.id = `mlex-run-${run}`;
    this.addClass('mlex-RunPage');
    this.toolbar.hide();
    this.title.icon = layersIcon;
    this.title.closable = true;
    this.title.label = mlex.server.job(run)?.name ?? run;
    this.unwatch = mlex.server.known.subscribe(() => {
      this.title.label = mlex.server.job(run)?.name ?? run;
    });
    mlex.server.watch(run);
  }

  override dispose(): void {
    this.unwatch();
    super.dispose();
  }

  private readonly unwatch: () => void;
}
