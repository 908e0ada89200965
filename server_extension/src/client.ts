/** A typed client: paths, parameters and answers are those of the generated contract. */

import type { paths } from './contract';
import type { Problem } from './types';

/** How requests reach the server. JupyterLab's half knows about logins and XSRF; this half does not. */
export interface Transport {
  request(path: string, init: RequestInit): Promise<Response>;
  socket(path: string): WebSocket;
}

/** An answer that says no, in the words that every face shows. */
export class ProblemError extends Error {
  constructor(
    readonly problem: Problem,
    readonly status: number
  ) {
    super(problem.message);
  }
}

type Method = 'get' | 'post';
type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof paths];
type Operation<P extends keyof paths, M extends Method> = paths[P][M];

type InPath<O> = O extends { parameters: { path: infer P } } ? { path: P } : unknown;
type InQuery<O> = O extends { parameters: { query: infer Q } }
  ? { query: Q }
  : O extends { parameters: { query?: infer Q } }
    ? { query?: Q }
    : unknown;
type InBody<O> = O extends { requestBody: { content: { 'application/json': infer B } } }
  ? { body: B }
  : O extends { requestBody?: { content: { 'application/json': infer B } } }
    ? { body?: B }
    : unknown;
type Given<O> = InPath<O> & InQuery<O> & InBody<O>;
type Ok<R> = R extends { 200: infer A } ? A : R extends { 201: infer A } ? A : never;
type Answer<O> = O extends { responses: infer R }
  ? Ok<R> extends { content: { 'application/json': infer A } }
    ? A
    : never
  : never;

interface Parts {
  path?: object;
  query?: object;
  body?: unknown;
}

export class Client {
  constructor(private readonly transport: Transport) {}

  get<P extends PathsWith<'get'>>(
    path: P,
    given: Given<Operation<P, 'get'>>
  ): Promise<Answer<Operation<P, 'get'>>> {
    return this.json(address(path, given), { method: 'GET' });
  }

  post<P extends PathsWith<'post'>>(
    path: P,
    given: Given<Operation<P, 'post'>>
  ): Promise<Answer<Operation<P, 'post'>>> {
    const { body } = given as Parts;
    return this.json(address(path, { path: (given as Parts).path }), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body ?? {})
    });
  }

  /** A middle slice of a dataset, or another one, as PNG. */
  datasetPicture(name: string, query: { axis?: number; index?: number; size?: number }): Promise<Blob> {
    return this.blob(address('/datasets/{name}/picture', { path: { name }, query }));
  }

  /** A slice of a dataset as numbers: a line of JSON, then the pixels. */
  async datasetRaster(
    name: string,
    query: { axis: number; index: number; size: number },
    signal: AbortSignal
  ): Promise<ArrayBuffer> {
    const blob = await this.blob(address('/datasets/{name}/raster', { path: { name }, query }), signal);
    return blob.arrayBuffer();
  }

  /** What a run showed after an epoch: labels beside prediction. */
  runPicture(run: string, query: { epoch?: number }): Promise<Blob> {
    return this.blob(address('/jobs/{run}/picture', { path: { run }, query }));
  }

  private async json<T>(path: string, init: RequestInit): Promise<T> {
    const response = await this.transport.request(path, init);
    if (!response.ok) {
      throw await problemOf(response);
    }
    return (await response.json()) as T;
  }

  private async blob(path: string, signal?: AbortSignal): Promise<Blob> {
    const response = await this.transport.request(path, { method: 'GET', cache: 'default', signal });
    if (!response.ok) {
      throw await problemOf(response);
    }
    return response.blob();
  }
}

/** The path with its parameters put in, each escaped, and the query behind it. */
export function address(path: string, { path: names = {}, query = {} }: Parts): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, key: string) =>
    encodeURIComponent(String((names as Record<string, unknown>)[key]))
  );
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) {
      search.set(key, String(value));
    }
  }
  return search.size ? `${filled}?${search}` : filled;
}

async function problemOf(response: Response): Promise<ProblemError> {
  const said: unknown = await response.json().catch(() => null);
  return new ProblemError(isProblem(said) ? said : inOurWords(response), response.status);
}

function isProblem(said: unknown): said is Problem {
  return typeof said === 'object' && said !== null && 'code' in said && 'message' in said;
}

/** For an answer that is not ours: a proxy's page, or a server without this extension. */
function inOurWords(response: Response): Problem {
  const said: Record<number, [string, string]> = {
    403: ['You are not logged in any more.', 'Log in again in another tab, then try again.'],
    404: [
      'This server does not have MLEx.',
      'Install it with `pip install mlex-jupyter` and restart JupyterLab.'
    ]
  };
  const [message, hint] = said[response.status] ?? [
    `The server answered ${response.status}.`,
    'Try again; if it stays, look at the server’s log.'
  ];
  return { code: 'http', message, hint, transient: response.status >= 500 };
}
