import { ChunkwiseError } from './chunkwise-error.ts';

/** Throws `aborted` where the caller of a request has given it up. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ChunkwiseError('aborted', { reason: 'the request was aborted' });
}
