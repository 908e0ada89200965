/** What the palette, the launcher and the menus of runs offer. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Job } from '@mlex/api';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Menu } from '@lumino/widgets';

import type { Mlex } from './context';
import { brushIcon, layersIcon } from './icons';
import { FINAL, RESUMABLE } from './words';

export const CommandIDs = {
  openPanel: 'mlex:open-panel',
  train: 'mlex:train',
  sample: 'mlex:make-sample',
  addData: 'mlex:add-data',
  openRun: 'mlex:open-run',
  openViewer: 'mlex:open-viewer',
  predict: 'mlex:predict-run',
  publish: 'mlex:publish-run',
  resume: 'mlex:resume-run',
  cancel: 'mlex:cancel-run'
};

interface Shows {
  panel(): void;
  train(): void;
  run(run: string): void;
  viewer(data: string): void;
}

export function addCommands({ commands }: JupyterFrontEnd, { actions, server }: Mlex, shows: Shows): void {
  commands.addCommand(CommandIDs.openPanel, {
    label: 'Show the MLExchange panel',
    icon: layersIcon,
    execute: () => shows.panel()
  });
  commands.addCommand(CommandIDs.train, {
    label: args => (args.isLauncher ? 'Train' : 'Train a model…'),
    caption: 'Pick data, labels and a model, and train',
    icon: layersIcon,
    execute: () => shows.train()
  });
  commands.addCommand(CommandIDs.sample, {
    label: args => (args.isLauncher ? 'Sample tomogram' : 'Make the sample tomogram'),
    caption: 'A synthetic tomogram with labels, ready to train on',
    icon: layersIcon,
    execute: async () => {
      shows.panel();
      await actions.makeSample();
    }
  });
  commands.addCommand(CommandIDs.addData, {
    label: 'Add data…',
    icon: layersIcon,
    execute: async () => {
      shows.panel();
      await actions.addData();
    }
  });

  const run = (args: ReadonlyPartialJSONObject): Job | undefined => server.job(String(args.run));
  const add = (
    id: string,
    label: string,
    possible: (job: Job) => boolean,
    act: (job: Job) => Promise<void> | void
  ): void => {
    commands.addCommand(id, {
      label,
      isEnabled: args => {
        const job = run(args);
        return job !== undefined && possible(job);
      },
      execute: async args => {
        const job = run(args);
        job && (await act(job));
      }
    });
  };
  const trained = (job: Job): boolean => job.state === 'done' && job.spec.task.kind === 'train';
  commands.addCommand(CommandIDs.openRun, {
    label: 'Open run and log',
    execute: args => shows.run(String(args.run))
  });
  commands.addCommand(CommandIDs.openViewer, {
    label: 'Look and paint',
    icon: brushIcon,
    isEnabled: args => typeof args.data === 'string',
    execute: args => shows.viewer(String(args.data))
  });
  add(CommandIDs.predict, 'Predict', trained, job => actions.predictRun(job));
  add(CommandIDs.publish, 'Publish…', trained, job => actions.publish(job));
  add(
    CommandIDs.resume,
    'Resume',
    job => RESUMABLE.has(job.state),
    job => actions.resume(job)
  );
  add(
    CommandIDs.cancel,
    'Stop or cancel…',
    job => !FINAL.has(job.state),
    job => actions.cancelIfMeant(job)
  );
}

/** What can be done with a run, under the pointer. */
export function openRunMenu({ commands }: JupyterFrontEnd, job: Job, x: number, y: number): void {
  const menu = new Menu({ commands });
  for (const command of ['openRun', 'predict', 'publish', 'resume', 'cancel'] as const) {
    menu.addItem({ command: CommandIDs[command], args: { run: job.id } });
  }
  menu.open(x, y);
}
