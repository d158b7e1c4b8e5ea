import { ChunkwiseError, handled, throwIfAborted } from '../errors/chunkwise-error.ts';

const DEFAULT_READ_TIMEOUT_MS = 30_000;
/** The longest delay that two timers can wait. */
const MAX_TIMEOUT_MS = 2 ** 32 - 2;

export interface ReadOptions {
  /** How long the reader may pause after a value. 0, or more than 49 days, sets no limit. */
  readTimeoutMs?: number | undefined;
  /** An abort while the reader pauses ends the producer as well. */
  signal?: AbortSignal | undefined;
}

/** Hands one value at a time from a producer to a reader. */
export class AsyncQueue<T> {
  readonly #values: T[] = [];
  #isClosed = false;
  #hasLeft = false;
  #wakeReader: () => void = () => undefined;
  #wakeProducer: () => void = () => undefined;

  /** Resolves when the reader asks for the next value. Errors: `aborted` when the reader has left. */
  async push(value: T): Promise<void> {
    const asked = new Promise<void>((resolve) => (this.#wakeProducer = resolve));
    this.#values.push(value);
    this.#wakeReader();
    if (!this.#hasLeft) await asked;
    if (this.#hasLeft) throw new ChunkwiseError('aborted', { reason: 'nobody reads the request any more' });
  }

  /** The next value; undefined after the last one. */
  async next(): Promise<{ value: T } | undefined> {
    if (this.#values.length === 0) this.#wakeProducer();
    while (this.#values.length === 0 && !this.#isClosed)
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    return this.#values.length > 0 ? { value: this.#values.shift() as T } : undefined;
  }

  /** The producer pushes nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#wakeReader();
  }

  /** The reader takes nothing more: `push` throws. */
  leave(): void {
    this.#hasLeft = true;
    this.#wakeProducer();
  }
}

/**
 * Yields the values that `produce` pushes. The first read starts `produce`. It ends when the reader leaves, or pauses
 * after a value for longer than `readTimeoutMs`: the next read then throws `abandoned`. A reader that waits for a value
 * does not pause.
 */
export async function* readQueue<T>(
  produce: (queue: AsyncQueue<T>) => Promise<void>,
  { readTimeoutMs = DEFAULT_READ_TIMEOUT_MS, signal }: ReadOptions,
): AsyncGenerator<T, void> {
  const queue = new AsyncQueue<T>();
  let isEnded = false;
  const end = (): void => {
    isEnded = true;
    queue.leave();
  };
  const produced = handled(produce(queue).finally(() => queue.close()));
  try {
    for (let next = await queue.next(); next; next = await queue.next()) {
      const stop = after(readTimeoutMs, end);
      signal?.addEventListener('abort', end);
      try {
        yield next.value;
      } finally {
        stop();
        signal?.removeEventListener('abort', end);
      }
      if (!isEnded) continue;
      await produced.catch(() => undefined);
      throwIfAborted(signal);
      const reason = `nothing was read for ${readTimeoutMs} ms, so the request ended`;
      throw new ChunkwiseError('abandoned', { field: 'readTimeoutMs', reason });
    }
    await produced;
  } finally {
    end();
    await produced.catch(() => undefined);
  }
}

/**
 * Calls `then` after `ms`, unless the returned function is called first. Uses two timers of half the time: when a
 * computer wakes from sleep, at most one of them is overdue, and the reader, which slept too, has the other half.
 */
function after(ms: number, then: () => void): () => void {
  if (ms === 0 || ms > MAX_TIMEOUT_MS) return () => undefined;
  let timer = setTimeout(() => (timer = setTimeout(then, ms / 2)), ms / 2);
  return () => clearTimeout(timer);
}
