import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/**
 * Resolves when the page's Content-Security-Policy refuses something that comes from a blob, as workers do here. The error
 * of a worker that is refused says nothing of it.
 */
export const blobRefused = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const onViolation = ({ disposition, blockedURI }: SecurityPolicyViolationEvent): void => {
      if (disposition === 'enforce' && blockedURI.startsWith('blob')) resolve();
    };
    globalThis.document?.addEventListener('securitypolicyviolation', onViolation, { signal });
  });

/** Of a worker that the page's policy keeps from starting. */
export function noWorkers(cause?: unknown): ChunkwiseError {
  const reason = "this page's policy lets no worker start from a blob: add the directive `worker-src blob:` to it";
  return new ChunkwiseError('unsupported', { field: 'Content-Security-Policy', reason }, { cause });
}
