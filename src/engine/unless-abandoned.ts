import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { throwIfAborted } from '../errors/throw-if-aborted.ts';
import { handled } from '../session/handled.ts';

/** For a reader that stays away so long between two events, nothing is kept any more. */
const DEFAULT_READ_TIMEOUT_MS = 30_000;
/** What timers can wait, twice. */
const MOST_MS = 2 ** 32 - 2;

interface Patience {
  /** How long the reader may stay away; 0, or more than 49 days: as long as it likes. */
  readTimeoutMs?: number | undefined;
  /** Aborted while the reader is away, what `events` holds is freed as well. */
  signal?: AbortSignal | undefined;
}

/**
 * The same events. `events` is ended, and with it gives up what it holds, when the reader stays away for too long after
 * one of them: reading on throws `abandoned` then. A reader that waits for the next event is not away.
 */
export async function* unlessAbandoned<T>(
  events: AsyncGenerator<T, void>,
  { readTimeoutMs = DEFAULT_READ_TIMEOUT_MS, signal }: Patience,
): AsyncGenerator<T, void> {
  try {
    for (let next = await events.next(); !next.done; next = await events.next()) {
      let ended: Promise<unknown> | undefined;
      const end = (): void => void (ended ??= handled(events.return()));
      const stop = after(readTimeoutMs, end);
      signal?.addEventListener('abort', end);
      try {
        yield next.value;
      } finally {
        stop();
        signal?.removeEventListener('abort', end);
      }
      if (!ended) continue;
      await ended;
      throwIfAborted(signal);
      const reason = `nothing was read for ${readTimeoutMs} ms, so others got its place`;
      throw new ChunkwiseError('abandoned', { field: 'readTimeoutMs', reason });
    }
  } finally {
    await events.return();
  }
}

/**
 * Calls `then` after `ms`, unless what is returned is called before. In two halves: a computer that wakes up finds at most
 * one of them over, and the reader, which slept too, has the other.
 */
function after(ms: number, then: () => void): () => void {
  if (ms === 0 || ms > MOST_MS) return () => undefined;
  let timer = setTimeout(() => (timer = setTimeout(then, ms / 2)), ms / 2);
  return () => clearTimeout(timer);
}
