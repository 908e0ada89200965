import assert from 'node:assert/strict';
import test from 'node:test';

import type { Architecture } from '@mlex/api';

import { changed, complaint, fieldsOf, range, read, type Field } from '../src/form';

const ARCHITECTURE = {
  params_schema: {
    properties: {
      depth: { type: 'integer', minimum: 2, maximum: 6, default: 4, title: 'Depth', 'x-group': 'network' },
      rate: { type: 'number', exclusiveMinimum: 0, maximum: 1, default: 0.003 },
      loss: { enum: ['dice', 'cross-entropy'], default: 'dice' },
      augment: { type: 'boolean', default: true },
      warm_up: { anyOf: [{ type: 'integer', minimum: 1 }, { type: 'null' }], default: null }
    }
  }
} as unknown as Architecture;

const FIELDS = fieldsOf(ARCHITECTURE);
const field = (key: string): Field => FIELDS.find(each => each.key === key) as Field;

test('each property becomes a field, in the schema’s order', () => {
  assert.deepEqual(
    FIELDS.map(({ key, kind, group }) => [key, kind, group]),
    [
      ['depth', 'integer', 'network'],
      ['rate', 'number', 'training'],
      ['loss', 'choice', 'training'],
      ['augment', 'switch', 'training'],
      ['warm_up', 'integer', 'training']
    ]
  );
  assert.equal(field('depth').title, 'Depth');
  assert.equal(field('warm_up').title, 'warm up');
});

test('what is typed is read as what the schema wants', () => {
  assert.equal(read(field('depth'), ' 5 '), 5);
  assert.equal(read(field('depth'), ''), undefined);
  assert.equal(read(field('augment'), 'false'), false);
  assert.equal(read(field('loss'), 'dice'), 'dice');
});

test('a bound that is broken is said in words', () => {
  assert.equal(complaint(field('depth'), 7), 'At most 6.');
  assert.equal(complaint(field('depth'), 2.5), 'Type a whole number.');
  assert.equal(complaint(field('depth'), read(field('depth'), 'many')), 'Type a number.');
  assert.equal(complaint(field('rate'), 0), 'More than 0.');
  assert.equal(complaint(field('warm_up'), 0), 'At least 1.');
  assert.equal(complaint(field('depth'), 4), null);
  assert.equal(complaint(field('depth'), undefined), null);
});

test('only what differs from the defaults is sent', () => {
  assert.deepEqual(changed(FIELDS, { depth: 4, rate: 0.01, augment: false }), { rate: 0.01, augment: false });
});

test('bounds in words', () => {
  assert.equal(range(field('depth')), '2 to 6');
  assert.equal(range(field('rate')), 'more than 0, at most 1');
  assert.equal(range(field('loss')), '');
});

test('what a preset says stands for the default', () => {
  const quick = { ...ARCHITECTURE, presets: { fast: { depth: 2 } } };
  const [before, after] = [fieldsOf(quick), fieldsOf(quick, 'fast')].map(
    fields => fields.find(({ key }) => key === 'depth')?.preset
  );
  assert.notEqual(before, 2);
  assert.equal(after, 2);
});
