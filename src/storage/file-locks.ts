import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { storageHost } from './storage-host.ts';

/**
 * Does `work` when no other tab has one of these stored files. A tab that ends, in whatever way, has them no more. With
 * `ifAvailable` nothing is waited for: throws `busy`, naming `file`.
 */
export async function withFiles<T>(
  files: readonly string[],
  options: { file: string; ifAvailable?: boolean },
  work: () => Promise<T>,
): Promise<T> {
  const { file, ifAvailable = false } = options;
  // In one order, or two tabs could wait for each other.
  const [first, ...rest] = [...new Set(files)].sort();
  if (first === undefined) return work();
  return storageHost.lock(`chunkwise ${first}`, { ifAvailable }, (lock) => {
    if (!lock) throw busy(file);
    return withFiles(rest, options, work);
  });
}

export const busy = (file: string, cause?: unknown): ChunkwiseError =>
  new ChunkwiseError('busy', { file, field: 'storage', reason: 'another tab is reading or writing it' }, { cause });

/** The browser refuses because the file is open elsewhere. */
export const isTaken = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'NoModificationAllowedError';

export const isMissing = (error: unknown): boolean => error instanceof DOMException && error.name === 'NotFoundError';
