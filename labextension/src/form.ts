/** The fields of the Advanced part, made from an architecture's JSON Schema. */

import type { Architecture } from '@mlex/api';

export type Value = string | number | boolean;
export type Values = Readonly<Record<string, Value>>;

export interface Field {
  key: string;
  title: string;
  help: string;
  kind: 'integer' | 'number' | 'text' | 'switch' | 'choice';
  group: string;
  preset: Value | null;
  bounds: Bounds;
  choices: readonly Value[];
}

/** JSON Schema's four, each null where there is none. */
interface Bounds {
  minimum: number | null;
  maximum: number | null;
  exclusiveMinimum: number | null;
  exclusiveMaximum: number | null;
}

type Schema = Readonly<Record<string, unknown>>;

/** One field a property, in the schema's order; what a preset says stands for the default. */
export function fieldsOf(architecture: Architecture, preset: string | null = null): Field[] {
  const properties = architecture.params_schema.properties;
  const fields = isSchema(properties)
    ? Object.entries(properties).flatMap(([key, schema]) => (isSchema(schema) ? [fieldOf(key, schema)] : []))
    : [];
  const said = preset === null ? {} : (architecture.presets[preset] ?? {});
  return fields.map(field => {
    const value = said[field.key];
    return isValue(value) ? { ...field, preset: value } : field;
  });
}

function fieldOf(key: string, given: Schema): Field {
  const schema = { ...given, ...withoutNull(given) };
  const choices = Array.isArray(schema.enum) ? schema.enum.filter(isValue) : [];
  return {
    key,
    title: typeof schema.title === 'string' ? schema.title : key.replaceAll('_', ' '),
    help: typeof schema.description === 'string' ? schema.description : '',
    kind: choices.length > 0 ? 'choice' : (KINDS[String(schema.type)] ?? 'text'),
    group: typeof schema['x-group'] === 'string' ? schema['x-group'] : 'training',
    preset: isValue(schema.default) ? schema.default : null,
    bounds: {
      minimum: bound(schema.minimum),
      maximum: bound(schema.maximum),
      exclusiveMinimum: bound(schema.exclusiveMinimum),
      exclusiveMaximum: bound(schema.exclusiveMaximum)
    },
    choices
  };
}

const KINDS: Record<string, Field['kind']> = { integer: 'integer', number: 'number', boolean: 'switch' };

/** Of `anyOf: [something, null]`, the something: an empty field is its null. */
function withoutNull(schema: Schema): Schema {
  const options = Array.isArray(schema.anyOf) ? schema.anyOf.filter(isSchema) : [];
  return options.find(option => option.type !== 'null') ?? {};
}

/** What is typed, as the value it means; undefined where the field is left to its default. */
export function read(field: Field, typed: string): Value | undefined {
  const text = typed.trim();
  if (text === '') {
    return undefined;
  }
  if (field.kind === 'switch') {
    return text === 'true';
  }
  if (field.kind === 'choice') {
    return field.choices.find(choice => String(choice) === text);
  }
  return field.kind === 'text' || !Number.isFinite(Number(text)) ? text : Number(text);
}

/** What is wrong with a value, in one sentence; null where nothing is. */
export function complaint(field: Field, value: Value | undefined): string | null {
  if (value === undefined || field.kind === 'text' || field.kind === 'switch' || field.kind === 'choice') {
    return null;
  }
  if (typeof value !== 'number') {
    return 'Type a number.';
  }
  if (field.kind === 'integer' && !Number.isInteger(value)) {
    return 'Type a whole number.';
  }
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = field.bounds;
  const broken: [boolean, string][] = [
    [minimum !== null && value < minimum, `At least ${minimum}.`],
    [maximum !== null && value > maximum, `At most ${maximum}.`],
    [exclusiveMinimum !== null && value <= exclusiveMinimum, `More than ${exclusiveMinimum}.`],
    [exclusiveMaximum !== null && value >= exclusiveMaximum, `Less than ${exclusiveMaximum}.`]
  ];
  return broken.find(([is]) => is)?.[1] ?? null;
}

/** What differs from the architecture's defaults: only that is sent. */
export function changed(fields: readonly Field[], values: Values): Record<string, Value> {
  const differing = fields.flatMap(field => {
    const value = values[field.key];
    return value === undefined || value === field.preset ? [] : [[field.key, value] as const];
  });
  return Object.fromEntries(differing);
}

/** "1 to 32", "at least 1", "more than 0" */
export function range(field: Field): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = field.bounds;
  if (minimum !== null && maximum !== null) {
    return `${minimum} to ${maximum}`;
  }
  const said: [number | null, string][] = [
    [minimum, 'at least'],
    [exclusiveMinimum, 'more than'],
    [maximum, 'at most'],
    [exclusiveMaximum, 'less than']
  ];
  return said.flatMap(([bound, word]) => (bound === null ? [] : [`${word} ${bound}`])).join(', ');
}

function bound(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isValue(value: unknown): value is Value {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
