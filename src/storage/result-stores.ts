import type { LadderStore } from '../adapters/ladder-cache.ts';
import { storageHost } from './storage-host.ts';
import { createStore, get, set } from 'idb-keyval';
import type { TuningStore } from '../gpu/autotuner.ts';

/** Most stored ladders; the oldest is deleted first. A ladder of rank 16 for the default model takes 10 MB. */
const MOST_LADDERS = 32;

/** Stores rank ladders in a folder of the origin's private file system; rejects if the browser has none. */
export const ladderStore: LadderStore = {
  async get(key) {
    const file = await (await ladderFolder()).getFileHandle(`${key}.ladder`);
    return (await file.getFile()).arrayBuffer();
  },

  async put(key, bytes) {
    const folder = await ladderFolder();
    const file = await folder.getFileHandle(`${key}.ladder`, { create: true });
    // Throws while another tab writes the same ladder.
    const handle = await file.createSyncAccessHandle();
    let written = 0;
    try {
      handle.truncate(0);
      written = handle.write(bytes, { at: 0 });
      handle.flush();
    } finally {
      handle.close();
      // Part of a ladder is useless.
      if (written !== bytes.length) await folder.removeEntry(file.name);
    }
    await removeOldest(folder);
  },
};

async function ladderFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await storageHost.directory();
  return root.getDirectoryHandle('chunkwise-ladders', { create: true });
}

async function removeOldest(folder: FileSystemDirectoryHandle): Promise<void> {
  const files: File[] = [];
  for await (const handle of folder.values()) if (handle.kind === 'file') files.push(await handle.getFile());
  files.sort((x, y) => y.lastModified - x.lastModified);
  for (const { name } of files.slice(MOST_LADDERS)) await folder.removeEntry(name);
}

const choices = createStore('chunkwise-tuning', 'choices');
/** Autotuner choices depend on the browser and its version. */
const ofBrowser = (key: string): string => `${key}, ${navigator.userAgent}`;

/**
 * Stores autotuner results of this device for all models and visits. Both methods reject if the browser allows no
 * database.
 */
export const tuningStore: TuningStore = {
  get: async (key) => get<unknown>(ofBrowser(key), choices),
  set: async (key, chosen) => set(ofBrowser(key), chosen, choices),
};
