import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { unlessAbandoned } from '../../src/engine/unless-abandoned.ts';
import { readStream, serveStream } from '../../workers/port-stream.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

/** 0, 1, 2, … after what `before` waits for; `closed` resolves when it has given up what it holds. */
function counting(before: (i: number) => Promise<unknown> = async () => undefined) {
  const seen = { produced: 0, isClosed: false };
  let close: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => (close = resolve));
  async function* produce(): AsyncGenerator<number, void> {
    try {
      for (let i = 0; ; i++) {
        await before(i);
        seen.produced++;
        yield i;
      }
    } finally {
      seen.isClosed = true;
      close();
    }
  }
  return { seen, closed, events: produce() };
}

it('ends what is not read for 30 seconds, and says so to who reads on', async () => {
  const { seen, closed, events } = counting();
  const stream = unlessAbandoned(events, {});
  expect(await stream.next()).toEqual({ value: 0, done: false });
  vi.advanceTimersByTime(29_999);
  expect(await stream.next()).toEqual({ value: 1, done: false });
  vi.advanceTimersByTime(29_999);
  expect(seen.isClosed).toBe(false);
  vi.advanceTimersByTime(1);
  await closed;
  await expect(stream.next()).rejects.toMatchObject({
    code: 'abandoned',
    detail: { field: 'readTimeoutMs', reason: expect.stringContaining('30000 ms') as string },
  });
  expect(await stream.next()).toEqual({ value: undefined, done: true });
  expect(seen.produced).toBe(2);
});

it('does not end what is slow itself, nor what was not begun', async () => {
  let go: () => void = () => undefined;
  const slow = counting((i) => (i === 1 ? new Promise<void>((resolve) => (go = resolve)) : Promise.resolve()));
  const stream = unlessAbandoned(slow.events, { readTimeoutMs: 1000 });
  vi.advanceTimersByTime(5000);
  await stream.next();
  const next = stream.next();
  vi.advanceTimersByTime(5000);
  await new Promise(setImmediate);
  go();
  expect(await next).toEqual({ value: 1, done: false });
  await stream.return();
  expect(slow.seen.isClosed).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

it('leaves who slept, reader and all, time to read on', async () => {
  const { seen, events } = counting();
  const stream = unlessAbandoned(events, { readTimeoutMs: 1000 });
  await stream.next();
  vi.advanceTimersToNextTimer(); // all that is overdue when a computer wakes up
  expect(await stream.next()).toEqual({ value: 1, done: false });
  expect(seen.isClosed).toBe(false);
});

it.each([0, Infinity, 2 ** 33])('waits for ever where it is told to by %d', async (readTimeoutMs) => {
  const { events } = counting();
  const stream = unlessAbandoned(events, { readTimeoutMs });
  await stream.next();
  vi.advanceTimersByTime(10 ** 9);
  expect(await stream.next()).toEqual({ value: 1, done: false });
});

it('ends what is aborted while it is not read', async () => {
  const { closed, events } = counting();
  const controller = new AbortController();
  const stream = unlessAbandoned(events, { signal: controller.signal });
  await stream.next();
  controller.abort();
  await closed;
  await expect(stream.next()).rejects.toMatchObject({ code: 'aborted' });
});

it('does so across threads: what was sent ahead is read, then the error', async () => {
  const { seen, closed, events } = counting();
  const { port1, port2 } = new MessageChannel();
  void serveStream(port2, (signal) => unlessAbandoned(events, { readTimeoutMs: 1000, signal }));
  const stream = readStream<number>(port1, { gone: new AbortController().signal });
  expect(await stream.next()).toEqual({ value: 0, done: false });
  while (vi.getTimerCount() === 0) await new Promise(setImmediate); // until it is as far ahead as it may be
  vi.advanceTimersByTime(1000);
  await closed;
  const rest: number[] = [];
  const read = async (): Promise<void> => {
    for await (const item of stream) rest.push(item);
  };
  await expect(read()).rejects.toMatchObject({
    name: 'ChunkwiseError',
    code: 'abandoned',
    detail: { field: 'readTimeoutMs' },
  });
  expect(rest).toEqual(Array.from({ length: seen.produced - 1 }, (_, i) => i + 1));
});
