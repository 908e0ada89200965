import assert from 'node:assert/strict';
import test, { mock } from 'node:test';

import { EventStream, type Connection } from '../src/stream';
import type { Event } from '../src/types';

class Socket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor(readonly path: string) {}

  say(...ids: number[]): void {
    this.onmessage?.({
      data: JSON.stringify(ids.map(id => ({ id, kind: 'metrics', subject: 'run-1', values: {} })))
    });
  }

  close(): void {
    this.onclose?.();
  }
}

function setUp(): { stream: EventStream; sockets: Socket[]; seen: number[]; connections: Connection[] } {
  const sockets: Socket[] = [];
  const seen: number[] = [];
  const connections: Connection[] = [];
  const transport = {
    request: () => assert.fail('no request is needed'),
    socket: (path: string) => {
      const socket = new Socket(path);
      sockets.push(socket);
      return socket as unknown as WebSocket;
    }
  };
  const stream = new EventStream(transport, {
    events: (events: readonly Event[]) => seen.push(...events.map(({ id }) => id)),
    connection: connection => connections.push(connection)
  });
  return { stream, sockets, seen, connections };
}

test('after a loss it goes on from the last event seen, and passes nothing on twice', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { stream, sockets, seen } = setUp();
  stream.start(10);
  assert.equal(sockets[0]?.path, '/stream?after=10');
  sockets[0]?.onopen?.();
  sockets[0]?.say(11, 12);
  sockets[0]?.close();
  mock.timers.tick(1000);
  assert.equal(sockets[1]?.path, '/stream?after=12');
  sockets[1]?.onopen?.();
  sockets[1]?.say(12, 13);
  assert.deepEqual(seen, [11, 12, 13]);
  mock.timers.reset();
});

test('a second failure is told, with since when and when next; the waits grow', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  const { stream, sockets, connections } = setUp();
  stream.start(0);
  sockets[0]?.onopen?.();
  sockets[0]?.close();
  assert.equal(connections.at(-1)?.status, 'live');
  mock.timers.tick(1000);
  sockets[1]?.close();
  const lost = connections.at(-1);
  assert.equal(lost?.status, 'offline');
  assert.equal(lost?.since, 1_000_000);
  for (let at = 2; at < 9; at += 1) {
    mock.timers.tick(40_000);
    sockets[at]?.close();
  }
  const wait = (connections.at(-1)?.retry ?? 0) - Date.now();
  assert.ok(wait >= 24_000 && wait <= 36_000, `waited ${wait}`);
  mock.timers.reset();
});

test('"Try now" does not wait, and does nothing while there is a connection', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { stream, sockets } = setUp();
  stream.start(0);
  stream.retryNow();
  assert.equal(sockets.length, 1);
  sockets[0]?.close();
  stream.retryNow();
  assert.equal(sockets.length, 2);
  mock.timers.tick(60_000);
  assert.equal(sockets.length, 2);
  mock.timers.reset();
});

test('a connection that is silent for long is given up, though nothing closed it', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { stream, sockets, seen } = setUp();
  stream.start(0);
  const [first] = sockets;
  assert.ok(first);
  first.close = () => undefined; // a dead network says nothing
  first.onopen?.();
  for (let beat = 0; beat < 10; beat += 1) {
    mock.timers.tick(15_000);
    first.say();
  }
  assert.equal(sockets.length, 1, 'an empty message is a sign of life');
  mock.timers.tick(44_000);
  assert.equal(sockets.length, 1);
  mock.timers.tick(2_000);
  mock.timers.tick(1_000);
  assert.equal(sockets.length, 2);
  first.say(1);
  assert.deepEqual(seen, [], 'what comes late through the old one comes again through the new one');
  sockets[1]?.onopen?.();
  sockets[1]?.say(1, 2);
  assert.deepEqual(seen, [1, 2]);
  stream.stop();
  mock.timers.reset();
});

test('woken up, it looks at the clock instead of waiting for its timer', () => {
  mock.timers.enable({ apis: ['Date'] }); // as in a computer that slept: time passes, no timer runs
  const { stream, sockets } = setUp();
  stream.start(7);
  sockets[0]?.onopen?.();
  mock.timers.tick(20_000);
  stream.check();
  assert.equal(sockets.length, 1);
  mock.timers.tick(3_600_000);
  stream.check();
  assert.equal(sockets.length, 2);
  assert.equal(sockets[1]?.path, '/stream?after=7');
  stream.stop();
  stream.check();
  assert.equal(sockets.length, 2, 'what was stopped stays so');
  mock.timers.reset();
});
