/** What the next training would be: what is picked on the screen, completed with what suits, and what is missing. */

import type { Architecture, Dataset, LabelSet, ZooEntry } from '@mlex/api';

import { changed, complaint, fieldsOf, read, type Field, type Value } from './form';
import type { Known } from './known';
import type { Screen } from './screen';
import type { Wish } from './server';
import { nextName } from './words';

export interface Choice {
  data: Dataset | null;
  labels: LabelSet | null;
  architecture: Architecture | null;
  /** The published model whose settings are taken over, where one is picked. */
  like: ZooEntry | null;
  /** Of the architecture, where it is picked and has it. */
  preset: string | null;
  fields: readonly Field[];
  /** What each field means now; left out where it stands at its default. */
  params: Readonly<Record<string, Value>>;
  complaints: Readonly<Record<string, string>>;
  /** What was typed as a name; null where the server shall find one. */
  name: string | null;
  /** The name that the server would find as things stand; another page may be faster. */
  proposal: string;
  /** The first thing that is missing, in words; null when everything is there. */
  missing: string | null;
}

export function choose(known: Known, screen: Screen): Choice {
  const data = named(known.datasets.value, screen.data) ?? pickData(known);
  const labels =
    named(data && known.labels[data.name], screen.labels) ?? (data && known.labels[data.name]?.[0]) ?? null;
  const like =
    known.models.value?.find(entry => entry.kind === 'model' && entryKey(entry) === screen.model) ?? null;
  const architectures = known.architectures.value;
  const architecture = named(architectures, like?.architecture ?? screen.model) ?? architectures?.[0] ?? null;
  const preset = screen.preset !== null && architecture?.presets[screen.preset] ? screen.preset : null;
  const fields = architecture ? fieldsOf(architecture, preset) : [];
  const values = valuesOf(fields, screen);
  const complaints = Object.fromEntries(
    fields.flatMap(field => {
      const said = complaint(field, values[field.key]);
      return said ? [[field.key, said]] : [];
    })
  );
  const name = screen.name?.trim() || null;
  const wrong =
    name === null || NAME.test(name) ? null : 'The name may have letters, digits, “.”, “_” and “-”.';
  const settings = Object.keys(complaints).length > 0 ? 'A setting under Advanced cannot be meant.' : null;
  return {
    data,
    labels,
    architecture,
    like,
    preset,
    fields,
    params: changed(fields, values),
    complaints,
    name,
    proposal: nextName(
      architecture?.name ?? 'run',
      (known.jobs.value ?? []).map(job => job.name)
    ),
    missing: missingIn(data, labels, architecture) ?? missingOf(like, screen) ?? wrong ?? settings
  };
}

/** The same rule as the server's `Name`. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** How a published model is told apart in a list: `pores-tunet@2`. */
export function entryKey(entry: ZooEntry): string {
  return entry.kind === 'model' ? `${entry.name}@${entry.version}` : entry.name;
}

export function trainWish(choice: Choice, screen: Screen): Wish {
  const { data, labels, architecture, preset, params, name } = choice;
  if (!data || !labels || !architecture) {
    throw new Error('A training needs data, labels and a model.');
  }
  const task = {
    kind: 'train' as const,
    model: architecture.name,
    data: data.name,
    labels: labels.name,
    params,
    ...(preset === null ? {} : { preset })
  };
  return { task, ...(name === null ? {} : { name }), target: screen.target };
}

function valuesOf(fields: readonly Field[], screen: Screen): Record<string, Value> {
  const pairs = fields.flatMap(field => {
    const typed = screen.typed[field.key];
    const value = typed === undefined ? screen.given?.[field.key] : read(field, typed);
    return value === undefined ? [] : [[field.key, value] as const];
  });
  return Object.fromEntries(pairs);
}

/** Without a choice of one's own: data with labels, the newest first. */
function pickData(known: Known): Dataset | null {
  const all = known.datasets.value ?? [];
  return all.find(data => (known.labels[data.name]?.length ?? 0) > 0) ?? all[0] ?? null;
}

function named<T extends { name: string }>(
  list: readonly T[] | null | undefined,
  name: string | null
): T | null {
  return list?.find(each => each.name === name) ?? null;
}

function missingIn(
  data: Dataset | null,
  labels: LabelSet | null,
  architecture: Architecture | null
): string | null {
  if (!data) {
    return 'Add data first.';
  }
  if (!labels) {
    return `${data.name} has no labels yet.`;
  }
  return architecture ? null : 'There is no model that can be trained.';
}

/** "Its settings" must be those of the model, not the defaults that stand there until they have come. */
function missingOf(like: ZooEntry | null, screen: Screen): string | null {
  if (like === null || screen.given !== null) {
    return null;
  }
  return screen.troubles.models
    ? `The settings of ${like.name} v${like.version} could not be read. Pick it again under Models.`
    : `The settings of ${like.name} v${like.version} are on their way.`;
}
