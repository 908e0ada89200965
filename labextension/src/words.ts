/** Numbers, times and states in the words that people use. Pure text; a test compares it. */

import type { Dataset, Job, JobState, LabelSet, Progress, TargetInfo } from '@mlex/api';

export const STATE_WORDS: Record<JobState, string> = {
  waiting: 'Waiting',
  queued: 'Queued',
  running: 'Running',
  done: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  lost: 'Lost'
};

export const FINAL: ReadonlySet<JobState> = new Set(['done', 'failed', 'cancelled', 'lost']);

export const RESUMABLE: ReadonlySet<JobState> = new Set(['failed', 'cancelled', 'lost']);

/** "67 MB", "4.3 GB" */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "256 × 512 × 512" */
export function shape(sizes: readonly number[]): string {
  return sizes.join(' × ');
}

/** "2:10", "1:02:10" */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** "48 s", "3 min 48 s", "2 h 5 min" */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) {
    return `${whole} s`;
  }
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
}

/** "today 11:20", "Tue 18 Nov", for a moment in the past. */
export function moment(iso: string, now = new Date()): string {
  const when = new Date(iso);
  return when.toDateString() === now.toDateString() ? `today ${time(when)}` : day(when);
}

/** "11:20" */
export function time(when: Date | number | string): string {
  return new Date(when).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
}

function day(when: Date): string {
  return when
    .toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short' })
    .replace(',', '');
}

/** "epoch 12 of 50" */
export function counted({ unit, done, total }: Progress): string {
  return `${unit} ${done} of ${total}`;
}

/** "2:10 left"; nothing where it is not known. */
export function left(progress: Progress | null): string | null {
  return progress?.eta_s === null || progress?.eta_s === undefined ? null : `${clock(progress.eta_s)} left`;
}

/** "24 %" */
export function percent(fraction: number): string {
  return `${Math.round(fraction * 100)} %`;
}

/** "0.83"; "–" where there is none, or where it became NaN. */
export function score(value: number | null | undefined): string {
  return typeof value === 'number' && Number.isFinite(value) ? value.toFixed(2) : '–';
}

/** "hand v4 · 3 slices, 4 classes" without the name. */
export function labelFacts(set: LabelSet): string {
  return `v${set.version} · ${count(set.slices.length, 'slice')}, ${count(set.classes.length, 'class', 'classes')}`;
}

/** "1 run", "2 runs" */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** How many slices there are along the first spatial axis. */
export function depth(data: Dataset): number {
  const z = data.axes.indexOf('z');
  return z < 0 ? 1 : (data.shape[z] ?? 1);
}

/** "2 cores free", "3 of 8 GPUs free": what is scarcest. */
export function free(target: TargetInfo): string {
  return target.gpus > 0
    ? `${target.gpus_free} of ${target.gpus} GPUs free`
    : `${target.cpus_free} of ${count(target.cpus, 'core')} free`;
}

/** The short form for the selector: "2 cores free". */
export function freeShort(target: TargetInfo): string {
  return target.gpus > 0
    ? `${count(target.gpus_free, 'GPU')} free`
    : target.cpus_free > 0
      ? `${count(target.cpus_free, 'core')} free`
      : 'busy';
}

/** What one reads under a run's name. */
export function runLine(job: Job, progress: Progress | null): string {
  switch (job.state) {
    case 'running':
      return join(progress ? counted(progress) : 'starting', left(progress), job.reason);
    case 'waiting':
    case 'queued':
      return job.reason ?? 'waits for its turn';
    case 'done':
      return join(job.ended && moment(job.ended), took(job));
    case 'failed':
    case 'lost':
      return job.message ?? job.reason ?? 'It said nothing. Look at the log.';
    case 'cancelled':
      return join(
        job.ended && moment(job.ended),
        progress && progress.done > 0 ? `${progress.unit} ${progress.done} kept` : null
      );
  }
}

/** "3 min 48 s", for a job that has ended. */
export function took(job: Job): string | null {
  return job.started && job.ended ? duration((Date.parse(job.ended) - Date.parse(job.started)) / 1000) : null;
}

/** What stopping a run means for it. */
export function stopping(job: Job): string {
  return job.spec.task.kind === 'run'
    ? 'Resume starts it again.'
    : 'Its checkpoint is kept; Resume goes on from there.';
}

/** The best validation Dice of a job, as far as it is known. */
export function jobScore(job: Job, progress: Progress | null): number | null {
  const newest = job.metrics.dice ?? null;
  const best = progress?.score ?? null;
  return job.state === 'done' ? (newest ?? best) : (best ?? newest);
}

export function join(...parts: (string | null | undefined | false)[]): string {
  return parts.filter(Boolean).join(' · ');
}

/** "tunet-08": the next free name after those of a kind. */
export function nextName(model: string, taken: readonly string[]): string {
  const pattern = new RegExp(`^${model.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}-(\\d+)$`);
  const highest = Math.max(0, ...taken.map(name => Number(pattern.exec(name)?.[1] ?? 0)));
  return `${model}-${String(highest + 1).padStart(2, '0')}`;
}

/** Whether a search finds something: every word of it occurs in one of the texts. */
export function finds(query: string, ...texts: readonly string[]): boolean {
  const all = texts.join(' ').toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every(word => all.includes(word));
}
