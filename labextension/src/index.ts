/** MLExchange in JupyterLab: the plugins. */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Token } from '@lumino/coreutils';

import { Actions } from './actions';
import { jupyterAsks } from './asks';
import { addCommands, CommandIDs, openRunMenu } from './commands';
import type { Mlex } from './context';
import { isGuided } from './guided';
import { notifyOfEnds } from './notify';
import { MlexPanel } from './panel';
import { RunPage } from './runpage';
import { freshScreen } from './screen';
import { Server } from './server';
import { statusItem } from './status';
import { jupyterTransport } from './transport';
import { ViewerPage } from './viewer/page';

/** The server as every part of the page sees it, and what a person can do there. */
const IMlex = new Token<Mlex>('@mlex/jupyterlab:IMlex', 'The MLEx server of this page.');

const engine: JupyterFrontEndPlugin<Mlex> = {
  id: '@mlex/jupyterlab:engine',
  description: 'Speaks with the MLEx server extension.',
  autoStart: true,
  provides: IMlex,
  activate: (app: JupyterFrontEnd): Mlex => {
    const settings = app.serviceManager.serverSettings;
    const server = new Server(jupyterTransport(settings), settings.baseUrl);
    const screen = freshScreen();
    const actions = new Actions(server, screen, jupyterAsks, {
      openRun: run => void app.commands.execute(CommandIDs.openRun, { run }),
      openRunMenu: (job, x, y) => openRunMenu(app, job, x, y),
      openViewer: data => void app.commands.execute(CommandIDs.openViewer, { data }),
      openTrain: () => void app.commands.execute(CommandIDs.train)
    });
    const mlex = { server, screen, actions };
    notifyOfEnds(mlex);
    window.addEventListener('online', server.wake);
    document.addEventListener('visibilitychange', () => document.hidden || server.wake());
    void server.start();
    return mlex;
  }
};

const panel: JupyterFrontEndPlugin<void> = {
  id: '@mlex/jupyterlab:panel',
  description: 'The MLExchange side panel, and the pages of runs.',
  autoStart: true,
  requires: [IMlex],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    mlex: Mlex,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ) => {
    const side = new MlexPanel(mlex);
    app.shell.add(side, 'left', { rank: 600 });
    restorer?.add(side, side.id);

    const pages = new WidgetTracker<RunPage>({ namespace: 'mlex-run' });
    const viewers = new WidgetTracker<ViewerPage>({ namespace: 'mlex-view' });
    const showPanel = (): void => app.shell.activateById(side.id);
    addCommands(app, mlex, {
      panel: showPanel,
      train: () => {
        showPanel();
        side.showTrain();
      },
      run: run => {
        const page = pages.find(each => each.run === run) ?? new RunPage(mlex, run);
        if (!page.isAttached) {
          app.shell.add(page, 'main');
          void pages.add(page);
        }
        app.shell.activateById(page.id);
      },
      viewer: data => {
        const page = viewers.find(each => each.data === data) ?? new ViewerPage(mlex, data);
        if (!page.isAttached) {
          app.shell.add(page, 'main');
          void viewers.add(page);
        }
        app.shell.activateById(page.id);
      }
    });
    void restorer?.restore(viewers, {
      command: CommandIDs.openViewer,
      args: ({ data }) => ({ data }),
      name: ({ data }) => data
    });
    void restorer?.restore(pages, {
      command: CommandIDs.openRun,
      args: ({ run }) => ({ run }),
      name: ({ run }) => run
    });

    const category = 'MLExchange';
    for (const command of [CommandIDs.openPanel, CommandIDs.train, CommandIDs.sample, CommandIDs.addData]) {
      palette?.addItem({ command, category });
    }
    for (const [rank, command] of [CommandIDs.sample, CommandIDs.train].entries()) {
      launcher?.add({ command, category, rank, args: { isLauncher: true } });
    }
    if (isGuided(PageConfig.getOption('mlex'))) {
      void Promise.all([app.restored, labShell?.restored]).then(showPanel);
    }
  }
};

const status: JupyterFrontEndPlugin<void> = {
  id: '@mlex/jupyterlab:status',
  description: 'Runs in the status bar.',
  autoStart: true,
  requires: [IMlex],
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, mlex: Mlex, bar: IStatusBar | null) => {
    bar?.registerStatusItem('@mlex/jupyterlab:status', {
      item: statusItem(mlex, () => void app.commands.execute(CommandIDs.openPanel)),
      align: 'right',
      rank: 500
    });
  }
};

export default [engine, panel, status];
