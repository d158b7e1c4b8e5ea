import { createStore, del, entries, get, set } from 'idb-keyval';

const manifests = createStore('chunkwise-models', 'manifests');

/** What this folder stands on: what a browser has. Node puts its own in place of it (`src/node/storage-host.ts`) before anything is kept. */
export const storageHost = {
  /** The folder that everything lies in. */
  directory: (): Promise<FileSystemDirectoryHandle> => navigator.storage.getDirectory(),
  /** How much more may be kept. */
  estimate: (): Promise<StorageEstimate> => navigator.storage.estimate(),
  /** As `LockManager.request`: nobody else has the lock of this name while `work` runs. */
  lock: <T>(name: string, options: LockOptions, work: (lock: object | null) => Promise<T>): Promise<T> =>
    navigator.locks.request(name, options, work),
  /** Which files models are made up of, by their names. */
  manifests: {
    get: <T>(name: string): Promise<T | undefined> => get<T>(name, manifests),
    set: (name: string, manifest: object): Promise<void> => set(name, manifest, manifests),
    delete: (name: string): Promise<void> => del(name, manifests),
    entries: <T>(): Promise<[string, T][]> => entries<string, T>(manifests),
  },
};
