import { createStore, del, entries, get, set } from 'idb-keyval';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

const manifests = createStore('chunkwise-models', 'manifests');

/** The browser's storage APIs. Node replaces them (`src/node/storage-host.ts`) before anything is stored. */
export const storageHost = {
  /** Root folder of all stored files. */
  directory: (): Promise<FileSystemDirectoryHandle> => navigator.storage.getDirectory(),
  /** Quota and usage in bytes. */
  estimate: (): Promise<StorageEstimate> => navigator.storage.estimate(),
  /** Like `LockManager.request`: `work` holds the lock of this name exclusively. */
  lock: <T>(name: string, options: LockOptions, work: (lock: object | null) => Promise<T>): Promise<T> =>
    navigator.locks.request(name, options, work),
  /** Manifests by model name. */
  manifests: {
    get: <T>(name: string): Promise<T | undefined> => get<T>(name, manifests),
    set: (name: string, manifest: object): Promise<void> => set(name, manifest, manifests),
    delete: (name: string): Promise<void> => del(name, manifests),
    entries: <T>(): Promise<[string, T][]> => entries<string, T>(manifests),
  },
};

/**
 * Runs `work` while no other tab uses these stored files. A closed tab releases its locks. With `ifAvailable` it does
 * not wait: throws `busy`, naming `file`.
 */
export async function withFiles<T>(
  files: readonly string[],
  options: { file: string; ifAvailable?: boolean },
  work: () => Promise<T>,
): Promise<T> {
  const { file, ifAvailable = false } = options;
  // A fixed order prevents deadlocks between tabs.
  const [first, ...rest] = [...new Set(files)].sort();
  if (first === undefined) return work();
  return storageHost.lock(`chunkwise ${first}`, { ifAvailable }, (lock) => {
    if (!lock) throw busy(file);
    return withFiles(rest, options, work);
  });
}

export const busy = (file: string, cause?: unknown): ChunkwiseError =>
  new ChunkwiseError('busy', { file, field: 'storage', reason: 'another tab is reading or writing it' }, { cause });

/** Whether an error means that the file is open elsewhere. */
export const isTaken = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'NoModificationAllowedError';

export const isMissing = (error: unknown): boolean => error instanceof DOMException && error.name === 'NotFoundError';
