import { expect, it } from 'vitest';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { readStream, serveStream } from '../../workers/wire.ts';

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** A stream of 0, 1, 2, … over a real channel, with what its producer did. */
function countingStream(
  options: {
    length?: number;
    failAt?: number;
    signal?: AbortSignal;
    gone?: AbortSignal;
    readerGone?: AbortSignal;
  } = {},
) {
  const { length = Infinity, failAt, signal, gone = new AbortController().signal } = options;
  const seen = { produced: 0, aborted: false, closed: false };
  const { port1, port2 } = new MessageChannel();
  async function* produce(abort: AbortSignal) {
    try {
      for (let i = 0; i < length; i++) {
        if (abort.aborted) {
          seen.aborted = true;
          throw new ChunkwiseError('aborted', { reason: 'stopped' });
        }
        if (i === failAt) throw new ChunkwiseError('context_overflow', { file: 'f', field: 'n', reason: 'r' });
        seen.produced++;
        yield i;
        await new Promise(setImmediate);
      }
    } finally {
      seen.closed = true;
    }
  }
  void serveStream(port2, produce, { gone: options.readerGone });
  return { seen, stream: readStream<number>(port1, { signal, gone }) };
}

it('yields every item in order, then ends', async () => {
  const { stream } = countingStream({ length: 50 });
  const items: number[] = [];
  for await (const item of stream) items.push(item);
  expect(items).toEqual(Array.from({ length: 50 }, (_, i) => i));
});

it('produces nothing before it is read, and runs only a few items ahead of a slow reader', async () => {
  const { seen, stream } = countingStream();
  await settled();
  expect(seen.produced).toBe(0);
  expect((await stream.next()).value).toBe(0);
  await settled();
  expect(seen.produced).toBeGreaterThan(1);
  expect(seen.produced).toBeLessThanOrEqual(5);
  await stream.return();
});

it('stops the producer within one item when the reader leaves the loop', async () => {
  const { seen, stream } = countingStream();
  for await (const item of stream) if (item === 10) break;
  await expect.poll(() => seen).toMatchObject({ aborted: true, closed: true });
  expect(seen.produced).toBeLessThanOrEqual(16);
});

it('ends with `aborted` when the signal fires, also while the reader waits', async () => {
  const abort = new AbortController();
  const { seen, stream } = countingStream({ signal: abort.signal });
  await stream.next();
  const reason = new Error('enough');
  abort.abort(reason);
  const error: unknown = await stream.next().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ChunkwiseError);
  expect(error).toMatchObject({
    name: 'AbortError',
    code: 'aborted',
    message: 'the caller aborted the request: enough',
  });
  expect((error as Error).cause).toBe(reason);
  await expect.poll(() => seen.closed).toBe(true);
});

it('names no reason if the signal has none', async () => {
  const { stream } = countingStream({ signal: AbortSignal.abort() });
  await expect(stream.next()).rejects.toMatchObject({
    message: 'the caller aborted the request',
    cause: { name: 'AbortError' },
  });
});

it('does not wait for a busy thread after an abort, or after leaving the loop', async () => {
  const abort = new AbortController();
  const { port1, port2 } = new MessageChannel(); // nothing is served on it
  const gone = new AbortController().signal;
  const waiting = readStream(port1, { signal: abort.signal, gone }).next();
  abort.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'aborted' });
  const orders: unknown[] = [];
  port2.onmessage = ({ data }) => orders.push(data);
  await expect.poll(() => orders.at(-1)).toEqual({ type: 'abort' }); // once it is free

  const channel = new MessageChannel();
  const stream = readStream<number>(channel.port1, { gone });
  channel.port2.postMessage({ type: 'item', item: 1 });
  for await (const item of stream) {
    expect(item).toBe(1);
    break;
  }
  channel.port2.close();
});

it('throws what the producer threw: code, detail and message', async () => {
  const { stream } = countingStream({ failAt: 2 });
  await stream.next();
  await stream.next();
  const error: unknown = await stream.next().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ChunkwiseError);
  expect(error).toMatchObject({
    code: 'context_overflow',
    detail: { file: 'f', field: 'n', reason: 'r' },
    message: 'f: n: r',
  });
});

it('ends with the given error when the serving thread is gone, before and during a read', async () => {
  const gone = new AbortController();
  const { stream } = countingStream({ gone: gone.signal, length: 1 });
  await stream.next();
  gone.abort(new ChunkwiseError('disposed', { reason: 'over' }));
  await expect(stream.next()).rejects.toMatchObject({ code: 'disposed' });
  // No open port keeps a Node process alive, whether the reader goes on or not.
  const { port1, port2 } = new MessageChannel();
  const closed = new Promise((resolve) => port2.addEventListener('close', resolve));
  void readStream(port1, { gone: gone.signal })
    .next()
    .catch(() => undefined);
  await closed;
  const late = countingStream({ gone: gone.signal });
  await expect(late.stream.next()).rejects.toMatchObject({ code: 'disposed' });
});

it('stops when the reader is gone without telling', async () => {
  const reader = new AbortController();
  const { seen, stream } = countingStream({ readerGone: reader.signal });
  await stream.next();
  await settled();
  expect(seen.closed).toBe(false);
  reader.abort();
  await settled();
  expect(seen).toMatchObject({ aborted: true, closed: true });
});
