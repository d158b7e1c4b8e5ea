import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { readStream, serveStream } from '../../workers/wire.ts';
import { type AsyncQueue, readQueue } from '../../src/engine/async-queue.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

/** Pushes 0, 1, 2, …, each after `before` resolves; `closed` resolves when the producer has ended. */
function counting(before: (i: number) => Promise<unknown> = async () => undefined) {
  const seen = { produced: 0, isClosed: false };
  let close: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => (close = resolve));
  async function produce(queue: AsyncQueue<number>): Promise<void> {
    try {
      for (let i = 0; ; i++) {
        await before(i);
        seen.produced++;
        await queue.push(i);
      }
    } finally {
      seen.isClosed = true;
      close();
    }
  }
  return { seen, closed, produce };
}

it('ends a producer that nobody reads for 30 seconds; the next read throws `abandoned`', async () => {
  const { seen, closed, produce } = counting();
  const stream = readQueue(produce, {});
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

it('does not end a slow producer, nor one that has not begun', async () => {
  let go: () => void = () => undefined;
  const slow = counting((i) => (i === 1 ? new Promise<void>((resolve) => (go = resolve)) : Promise.resolve()));
  const stream = readQueue(slow.produce, { readTimeoutMs: 1000 });
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

it('gives a reader time to continue after its computer slept', async () => {
  const { seen, produce } = counting();
  const stream = readQueue(produce, { readTimeoutMs: 1000 });
  await stream.next();
  vi.advanceTimersToNextTimer(); // fires all timers that are overdue after a sleep
  expect(await stream.next()).toEqual({ value: 1, done: false });
  expect(seen.isClosed).toBe(false);
});

it.each([0, Infinity, 2 ** 33])('sets no limit for %d', async (readTimeoutMs) => {
  const { produce } = counting();
  const stream = readQueue(produce, { readTimeoutMs });
  await stream.next();
  vi.advanceTimersByTime(10 ** 9);
  expect(await stream.next()).toEqual({ value: 1, done: false });
});

it('ends a producer on an abort while nobody reads', async () => {
  const { closed, produce } = counting();
  const controller = new AbortController();
  const stream = readQueue(produce, { signal: controller.signal });
  await stream.next();
  controller.abort();
  await closed;
  await expect(stream.next()).rejects.toMatchObject({ code: 'aborted' });
});

it('works across threads: the reader gets the values sent ahead, then the error', async () => {
  const { seen, closed, produce } = counting();
  const { port1, port2 } = new MessageChannel();
  void serveStream(port2, (signal) => readQueue(produce, { readTimeoutMs: 1000, signal }));
  const stream = readStream<number>(port1, { gone: new AbortController().signal });
  expect(await stream.next()).toEqual({ value: 0, done: false });
  while (vi.getTimerCount() === 0) await new Promise(setImmediate); // until the producer is as far ahead as allowed
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
