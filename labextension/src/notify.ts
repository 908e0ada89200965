/** A notification repeats what the panel already shows; it is never the only sign. */

import { Notification } from '@jupyterlab/apputils';
import type { Job } from '@mlex/api';

import type { Mlex } from './context';
import { jobScore, score, took } from './words';

const LONGEST = 140;

export function notifyOfEnds({ server, actions }: Mlex): void {
  server.ended.connect((_, job) => {
    const open = { label: 'Open run', callback: () => actions.openRun(job.id) };
    if (job.state === 'done' && job.spec.task.kind === 'train') {
      const predict = { label: 'Predict whole volume', callback: () => void actions.predictRun(job) };
      Notification.success(ending(job), { actions: [predict, open], autoClose: 8000 });
    } else if (job.state === 'done') {
      Notification.success(ending(job), { actions: [open], autoClose: 8000 });
    } else if (job.state === 'failed' || job.state === 'lost') {
      Notification.error(ending(job), { actions: [open], autoClose: false });
    }
  });
}

/** "tunet-07 finished. Dice 0.93, 3 min 41 s." */
export function ending(job: Job): string {
  const best = jobScore(job, job.progress);
  const facts = [best === null ? null : `Dice ${score(best)}`, took(job)].filter(Boolean).join(', ');
  const text =
    job.state === 'done'
      ? `${job.name} finished.${facts ? ` ${facts}.` : ''}`
      : `${job.name} ${job.state === 'lost' ? 'was lost' : 'failed'}. ${job.message ?? job.reason ?? ''}`.trim();
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}
