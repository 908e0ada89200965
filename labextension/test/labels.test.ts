import assert from 'node:assert/strict';
import test from 'node:test';
import { deflateSync } from 'node:zlib';

import { type Client, ProblemError } from '@mlex/api';

import { Labels } from '../src/viewer/labels';

const MASK = { row: 0, column: 0, height: 1, width: 1, runs: [0, 1], pixels: 1 };
const REFUSED = { code: 'conflict', message: '', hint: null, transient: false, details: { stroke: 7 } };

/** A server with labels of 1 × 2: strokes set the first pixel. `read` and `stroke` are awaited before each answer. */
function server(read: () => Promise<void>, stroke: () => Promise<void>): { client: Client; kept: number[] } {
  const kept: number[] = [];
  let first = 0;
  const client = {
    get: async () => {
      const values = deflateSync(Uint8Array.of(first, 0)).toString('base64');
      await read();
      const blocks = [{ row: 0, column: 0, version: 0, values }];
      return {
        labels: 'x',
        axis: 0,
        index: 3,
        height: 1,
        width: 2,
        tile: 256,
        number: 1,
        elsewhere: 0,
        blocks
      };
    },
    post: async (_: string, { body }: { body: { patches: { index: number; value: number }[] } }) => {
      await stroke();
      first = body.patches[0]!.value;
      kept.push(body.patches[0]!.index);
      return { tiles: [], undo: kept.length, redo: 0 };
    }
  };
  return { client: client as unknown as Client, kept };
}

const nothing = (): Promise<void> => Promise.resolve();
const labelsOn = (client: Client): Labels => new Labels(client, 'sand', 'hand', 'window', () => undefined);

test('what is painted while a slice is read anew is on it', async () => {
  let begun = (): void => undefined;
  const { client } = server(async () => begun(), nothing);
  const labels = labelsOn(client);
  await labels.show(0, 3);
  begun = () => {
    begun = () => undefined;
    labels.commit(labels.plane!, MASK, 5);
  };
  await labels.show(0, 3);
  assert.deepEqual([...labels.plane!.values], [5, 0]);
});

test('a stroke goes to the slice that it was painted on', async () => {
  const { client, kept } = server(nothing, nothing);
  const labels = labelsOn(client);
  await labels.show(0, 3);
  const there = { ...labels.plane!, index: 8 };
  labels.commit(there, MASK, 1);
  await labels.settled();
  assert.deepEqual(kept, [8]);
});

test('a stroke that the server could not take waits, and one that it judged does not', async () => {
  let problem: typeof REFUSED | null = { ...REFUSED, code: 'http', details: { stroke: 0 } };
  const refuse = (): Promise<void> => (problem ? Promise.reject(new ProblemError(problem, 403)) : nothing());
  const { client, kept } = server(nothing, refuse);
  const labels = labelsOn(client);
  await labels.show(0, 3);
  labels.commit(labels.plane!, MASK, 1);
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.equal(labels.saving.get().state, 'waiting');
  problem = null;
  await labels.settled();
  assert.deepEqual([labels.saving.get().state, kept], ['saved', [3]]);
  problem = REFUSED;
  labels.commit(labels.plane!, MASK, 2);
  await labels.settled();
  assert.deepEqual([labels.saving.get().state, labels.saving.get().refused], ['refused', 7]);
});
