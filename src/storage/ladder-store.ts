import type { LadderStore } from '../adapters/ladder/ladder-cache.ts';
import { storageHost } from './storage-host.ts';

/** Most ladders that are kept; the oldest goes first. One of rank 16 for the default model takes 10 MB. */
const MOST_LADDERS = 32;

/** Keeps ladders in a folder of the origin's private file system; in none where the browser has no such system. */
export const ladderStore: LadderStore = {
  async get(key) {
    const file = await (await ladderFolder()).getFileHandle(`${key}.ladder`);
    return (await file.getFile()).arrayBuffer();
  },

  async put(key, bytes) {
    const folder = await ladderFolder();
    const file = await folder.getFileHandle(`${key}.ladder`, { create: true });
    // Refused while another tab writes the same ladder.
    const handle = await file.createSyncAccessHandle();
    let written = 0;
    try {
      handle.truncate(0);
      written = handle.write(bytes, { at: 0 });
      handle.flush();
    } finally {
      handle.close();
      // Half a ladder only takes room.
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
