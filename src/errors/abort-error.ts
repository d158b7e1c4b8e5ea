import { ChunkwiseError } from './chunkwise-error.ts';

/** What its caller ended: `what`, such as `the request`. The signal's reason is the cause, and told where it is the caller's own. */
export function abortError({ reason: cause }: AbortSignal, what: string): ChunkwiseError {
  const isOwn = !(cause instanceof DOMException && cause.name === 'AbortError');
  const own = cause instanceof Error ? cause.message : String(cause);
  return new ChunkwiseError('aborted', { reason: `the caller aborted ${what}${isOwn ? `: ${own}` : ''}` }, { cause });
}
