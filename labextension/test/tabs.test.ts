import assert from 'node:assert/strict';
import test, { mock } from 'node:test';

import type { Connection, Event } from '@mlex/api';

import { SharedStream, type Tabs } from '../src/tabs';

const event = (id: number): Event => ({
  id,
  time: '2026-01-01T00:00:00Z',
  subject: 'run-1',
  kind: 'metrics',
  values: {}
});

const turn = async (): Promise<void> => {
  for (let times = 0; times < 20; times += 1) {
    await Promise.resolve();
  }
};

class Socket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  closed = false;

  constructor(readonly path: string) {}

  say(...ids: number[]): void {
    this.onmessage?.({ data: JSON.stringify(ids.map(event)) });
  }

  close(): void {
    this.closed = true;
    this.onclose?.();
  }
}

/** A browser: locks with a queue, channels between its tabs, and the server that they all ask. */
class Browser {
  readonly sockets: Socket[] = [];
  readonly asked: number[] = [];
  newest = 0;
  deaf = new Set<number>();
  private channels: { tab: number; post: (data: unknown) => void }[] = [];
  private held: { reject: (error: Error) => void } | null = null;
  private waiting: (() => void)[] = [];

  open(): Socket[] {
    return this.sockets.filter(socket => !socket.closed);
  }

  tabs(tab: number): Tabs {
    return {
      locks: { request: this.request.bind(this) as unknown as LockManager['request'] },
      channel: () => this.channel(tab)
    };
  }

  private channel(tab: number): ReturnType<Tabs['channel']> {
    const channel = {
      onmessage: null as ((message: { data: unknown }) => void) | null,
      postMessage: (data: unknown) => {
        const others = this.channels.filter(other => other !== mine && !this.deaf.has(other.tab));
        if (!this.deaf.has(tab)) {
          others.forEach(other => queueMicrotask(() => other.post(structuredClone(data))));
        }
      },
      close: () => {
        this.channels = this.channels.filter(other => other !== mine);
      }
    };
    const mine = { tab, post: (data: unknown) => channel.onmessage?.({ data }) };
    this.channels.push(mine);
    return channel as unknown as ReturnType<Tabs['channel']>;
  }

  private request(
    _name: string,
    options: { steal?: boolean; signal?: AbortSignal },
    work: () => Promise<void>
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        const mine = { reject };
        this.held = mine;
        void work().then(() => {
          resolve();
          if (this.held === mine) {
            this.held = null;
            this.waiting.shift()?.();
          }
        });
      };
      options.signal?.addEventListener('abort', () => {
        this.waiting = this.waiting.filter(other => other !== begin);
        reject(new Error('aborted'));
      });
      if (options.steal) {
        this.held?.reject(new Error('stolen'));
        begin();
      } else if (this.held) {
        this.waiting.push(begin);
      } else {
        begin();
      }
    });
  }
}

interface Tab {
  stream: SharedStream;
  seen: number[];
  connections: Connection['status'][];
}

function open(browser: Browser, number: number, after: number, alone = false): Tab {
  const seen: number[] = [];
  const connections: Connection['status'][] = [];
  const transport = {
    request: () => assert.fail('no request is needed'),
    socket: (path: string) => {
      const socket = new Socket(path);
      browser.sockets.push(socket);
      return socket as unknown as WebSocket;
    }
  };
  const history = async (from: number): Promise<Event[]> => {
    browser.asked.push(from);
    return Array.from({ length: browser.newest - from }, (_, index) => event(from + index + 1));
  };
  const stream = new SharedStream(
    transport,
    {
      events: events => seen.push(...events.map(({ id }) => id)),
      connection: ({ status }) => connections.push(status)
    },
    history,
    alone ? null : browser.tabs(number)
  );
  stream.start(after, 'here');
  return { stream, seen, connections };
}

function end(...tabs: Tab[]): void {
  tabs.forEach(({ stream }) => stream.stop());
  mock.timers.reset();
}

test('three tabs have one connection, and all of them see everything once', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const browser = new Browser();
  const tabs = [open(browser, 1, 0), open(browser, 2, 0), open(browser, 3, 0)];
  await turn();
  assert.equal(browser.sockets.length, 1);
  browser.sockets[0]?.onopen?.();
  browser.sockets[0]?.say(1, 2);
  browser.sockets[0]?.say(2, 3);
  await turn();
  for (const { seen, connections } of tabs) {
    assert.deepEqual(seen, [1, 2, 3]);
    assert.deepEqual(connections, ['live']);
  }
  assert.deepEqual(browser.asked, []);
  end(...tabs);
});

test('when the tab that listens is closed another goes on after what it has seen', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const browser = new Browser();
  const [first, second, third] = [open(browser, 1, 0), open(browser, 2, 0), open(browser, 3, 0)];
  await turn();
  browser.sockets[0]?.onopen?.();
  browser.sockets[0]?.say(1, 2, 3);
  await turn();
  browser.deaf.add(1); // what it hears last it tells nobody any more
  browser.sockets[0]?.say(4);
  first.stream.stop();
  await turn();
  assert.equal(browser.sockets[1]?.path, '/stream?after=3');
  browser.sockets[1]?.onopen?.();
  browser.sockets[1]?.say(4, 5);
  await turn();
  assert.deepEqual(second.seen, [1, 2, 3, 4, 5]);
  assert.deepEqual(third.seen, [1, 2, 3, 4, 5]);
  assert.equal(browser.open().length, 1);
  end(second, third);
});

test('a tab that joins late, or that missed something, reads it before it goes on', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const browser = new Browser();
  const first = open(browser, 1, 0);
  await turn();
  browser.sockets[0]?.onopen?.();
  browser.newest = 3;
  browser.sockets[0]?.say(1, 2, 3);
  const late = open(browser, 2, 1);
  await turn();
  assert.deepEqual(late.seen, [2, 3]);
  assert.deepEqual(late.connections, ['live']);
  browser.deaf.add(2);
  browser.newest = 5;
  browser.sockets[0]?.say(4, 5);
  await turn();
  browser.deaf.delete(2);
  browser.newest = 6;
  browser.sockets[0]?.say(6);
  await turn();
  assert.deepEqual(late.seen, [2, 3, 4, 5, 6]);
  assert.deepEqual(browser.asked, [1, 3]);
  browser.deaf.add(2);
  browser.newest = 7;
  browser.sockets[0]?.say(7);
  await turn();
  browser.deaf.delete(2);
  browser.sockets[0]?.say(); // a sign of life is enough to notice it
  await turn();
  assert.deepEqual(late.seen, [2, 3, 4, 5, 6, 7]);
  end(first, late);
});

test('a tab that was put to sleep loses its turn, and is one of the others when it wakes', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const browser = new Browser();
  const [asleep, awake] = [open(browser, 1, 0), open(browser, 2, 0)];
  await turn();
  browser.sockets[0]?.onopen?.();
  browser.sockets[0]?.say(1);
  await turn();
  browser.deaf.add(1);
  mock.timers.tick(30_000);
  browser.sockets[0]?.say();
  mock.timers.tick(19_000);
  await turn();
  assert.equal(browser.sockets.length, 1);
  mock.timers.tick(2_000);
  mock.timers.tick(3_000);
  await turn();
  assert.equal(browser.sockets[1]?.path, '/stream?after=1');
  browser.deaf.delete(1);
  assert.equal(browser.open().length, 1, 'it has let go of its connection');
  browser.sockets[1]?.onopen?.();
  browser.newest = 2;
  browser.sockets[1]?.say(2);
  await turn();
  assert.deepEqual(asleep.seen, [1, 2]);
  assert.deepEqual(awake.seen, [1, 2]);
  awake.stream.stop();
  await turn();
  assert.equal(browser.open().length, 1);
  end(asleep);
});

test('a tab that is looked at again asks at once; an answer is enough', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const browser = new Browser();
  const tabs = [open(browser, 1, 0), open(browser, 2, 0)];
  await turn();
  tabs[1]?.stream.check();
  await turn();
  mock.timers.tick(10_000);
  await turn();
  assert.equal(browser.sockets.length, 1);
  end(...tabs);
});

test('where a browser has no locks a tab listens for itself', () => {
  const browser = new Browser();
  const tabs = [open(browser, 1, 4, true), open(browser, 2, 5, true)];
  assert.deepEqual(
    browser.sockets.map(({ path }) => path),
    ['/stream?after=4', '/stream?after=5']
  );
  browser.sockets[0]?.say(5, 6);
  assert.deepEqual(tabs[0]?.seen, [5, 6]);
  end(...tabs);
});
