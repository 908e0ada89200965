/** What the server knows, as last heard of it. The screen draws this and keeps nothing of it for itself. */

import type {
  Architecture,
  Connection,
  Dataset,
  Hello,
  Job,
  LabelSet,
  Problem,
  TargetInfo,
  ZooEntry
} from '@mlex/api';

import type { Curve } from './curve';

/** A list that has been asked for: not here yet, here, or refused. */
export interface Asked<T> {
  value: T | null;
  problem: Problem | null;
}

export interface Known {
  connection: Connection;
  hello: Hello | null;
  datasets: Asked<readonly Dataset[]>;
  /** Label sets by the name of their dataset. */
  labels: Readonly<Record<string, readonly LabelSet[]>>;
  models: Asked<readonly ZooEntry[]>;
  architectures: Asked<readonly Architecture[]>;
  targets: Asked<readonly TargetInfo[]>;
  jobs: Asked<readonly Job[]>;
  curves: Readonly<Record<string, Curve>>;
  /** Grows with every event folded into a curve. */
  tick: number;
}

export const LISTS = ['datasets', 'models', 'architectures', 'targets', 'jobs'] as const;
export type ListName = (typeof LISTS)[number];

const NOT_YET = { value: null, problem: null };

export const NOTHING: Known = {
  connection: { status: 'connecting', since: null, retry: null },
  hello: null,
  datasets: NOT_YET,
  labels: {},
  models: NOT_YET,
  architectures: NOT_YET,
  targets: NOT_YET,
  jobs: NOT_YET,
  curves: {},
  tick: 0
};
