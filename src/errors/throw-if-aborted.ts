import { ChunkwiseError } from './chunkwise-error.ts';

/** Throws `aborted` where the caller of a request has given it up. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ChunkwiseError('aborted', { reason: 'the request was aborted' });
}

/** Settles as `promise` does, or throws `aborted` as soon as the caller of a request gives it up; `promise` then goes on unheard. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  throwIfAborted(signal);
  if (!signal) return promise;
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new ChunkwiseError('aborted', { reason: 'the request was aborted' }));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
