import assert from 'node:assert/strict';
import test from 'node:test';

import { address, Client, ProblemError, type Transport } from '../src/client';

function answering(status: number, body: string, asked: [string, RequestInit][] = []): Transport {
  return {
    request: async (path, init) => {
      asked.push([path, init]);
      return new Response(body, { status });
    },
    socket: () => assert.fail('no socket is needed')
  };
}

test('names go into the path escaped, and what is not given stays out of the query', () => {
  assert.equal(
    address('/jobs/{run}/log', { path: { run: 'a/b ?#' }, query: { offset: 0 } }),
    '/jobs/a%2Fb%20%3F%23/log?offset=0'
  );
  assert.equal(address('/models', { query: { query: undefined, task: null } }), '/models');
});

test('a POST sends its body as JSON', async () => {
  const asked: [string, RequestInit][] = [];
  await new Client(answering(200, '{}', asked)).post('/models', { body: { run: 'run-1', name: 'pores' } });
  assert.deepEqual(asked[0]?.[0], '/models');
  assert.equal(asked[0]?.[1].body, '{"run":"run-1","name":"pores"}');
});

test('a refusal is thrown with its message and hint', async () => {
  const said = { code: 'not_found', message: 'No run x.', hint: 'Look.', transient: false };
  const client = new Client(answering(404, JSON.stringify(said)));
  await assert.rejects(client.get('/jobs/{run}', { path: { run: 'x' } }), (error: unknown) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual(error.problem, said);
    assert.equal(error.status, 404);
    return true;
  });
});

test('an answer that is not ours is put into words', async () => {
  for (const [status, words] of [
    [502, /answered 502/],
    [403, /not logged in/],
    [404, /does not have MLEx/]
  ] as const) {
    const client = new Client(answering(status, '<html>nginx</html>'));
    await assert.rejects(client.get('/hello', {}), words);
  }
});
