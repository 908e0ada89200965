/** What only the screen knows: what is picked and typed. None of it is lost knowledge when the page goes away. */

import type { Problem } from '@mlex/api';

import type { Values } from './form';
import { Watched } from './watched';

/** A part of the panel that can be busy, or in trouble. */
export type Place = 'data' | 'models' | 'train' | 'runs';

export interface Screen {
  /** What is typed into the search box. */
  query: string;
  /** The dataset that is picked, by name. */
  data: string | null;
  labels: string | null;
  /** An architecture, or `name@version` of a published model whose settings are taken over. */
  model: string | null;
  /** A preset of the architecture; null for its defaults. */
  preset: string | null;
  /** The name typed for the next run; null where the server shall find one. */
  name: string | null;
  /** What was typed in the Advanced part, as text, by parameter. */
  typed: Readonly<Record<string, string>>;
  /** Settings taken over from a published model; null until they are here. */
  given: Values | null;
  target: string;
  /** The run whose row is selected. */
  run: string | null;
  /** What was asked of the server and is not answered yet: the buttons for it rest. */
  underWay: readonly string[];
  /** What is being done at a place, in words. */
  doing: Readonly<Partial<Record<Place, string | null>>>;
  /** What went wrong there last. */
  troubles: Readonly<Partial<Record<Place, Problem | null>>>;
}

export function freshScreen(): Watched<Screen> {
  return new Watched<Screen>(
    {
      query: '',
      data: null,
      labels: null,
      model: null,
      preset: null,
      name: null,
      typed: {},
      given: {},
      target: 'local',
      run: null,
      underWay: [],
      doing: {},
      troubles: {}
    },
    'once'
  );
}
