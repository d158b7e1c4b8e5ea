import type { CacheStore } from '../cache/saved-cache.ts';
import { megabytes } from '../config/megabytes.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { isMissing, withFiles } from './file-locks.ts';
import { storageHost } from './storage-host.ts';

const SUFFIX = '.cache';

/** Keeps saved caches in a folder of the origin's private file system. An empty file is one whose writing broke off. */
export const cacheStore: CacheStore = {
  get: (name) =>
    alone(name, async (folder, fileName) => {
      try {
        const file = await (await folder.getFileHandle(fileName)).getFile();
        return file.size === 0 ? undefined : await file.arrayBuffer();
      } catch (cause) {
        if (isMissing(cause)) return undefined;
        throw new ChunkwiseError('bad_file', { file: name, reason: `cannot be read: ${String(cause)}` }, { cause });
      }
    }),

  put: (name, bytes) =>
    alone(name, async (folder, fileName) => {
      try {
        // What a tab that was killed was writing; nobody writes it now.
        for await (const { name: each } of folder.values()) {
          if (each.startsWith(`${fileName}.`)) await folder.removeEntry(each).catch(() => undefined);
        }
        const file = await folder.getFileHandle(fileName, { create: true });
        // It takes the place of what was there when it is closed, not before.
        const writable = await file.createWritable();
        try {
          await writable.write(bytes);
          await writable.close();
        } catch (error) {
          await writable.abort().catch(() => undefined); // closing may have ended it already
          if ((await file.getFile()).size === 0) await folder.removeEntry(fileName);
          throw error;
        }
      } catch (cause) {
        if (!(cause instanceof DOMException)) throw cause;
        if (cause.name !== 'QuotaExceededError') {
          throw new ChunkwiseError(
            'storage_lost',
            { file: name, reason: `could not be written: ${cause.message}` },
            { cause },
          );
        }
        const reason = `the browser's storage has no room for ${megabytes(bytes.length)}`;
        throw new ChunkwiseError('over_limit', { file: name, field: 'storage', reason }, { cause });
      }
    }),

  delete: (name) =>
    alone(name, async (folder, fileName) => {
      await folder.removeEntry(fileName).catch((error: unknown) => {
        if (!isMissing(error)) throw error; // another tab was faster
      });
    }),

  async list() {
    const found: { name: string; bytes: number }[] = [];
    const folder = await cacheFolder().catch(() => undefined);
    if (!folder) return []; // where there is no place for texts there are none
    for await (const handle of folder.values()) {
      if (handle.kind !== 'file' || !handle.name.endsWith(SUFFIX)) continue; // browsers write into files of other names
      const { size = 0 } = (await handle.getFile().catch(() => undefined)) ?? {}; // another tab may delete it meanwhile
      if (size > 0) found.push({ name: decodeURIComponent(handle.name.slice(0, -SUFFIX.length)), bytes: size });
    }
    return found;
  },
};

/** Tabs take turns with a name. */
async function alone<T>(
  name: string,
  work: (folder: FileSystemDirectoryHandle, fileName: string) => Promise<T>,
): Promise<T> {
  const folder = await cacheFolder();
  const fileName = encodeURIComponent(name) + SUFFIX;
  return withFiles([fileName], { file: name }, () => work(folder, fileName));
}

async function cacheFolder(): Promise<FileSystemDirectoryHandle> {
  try {
    const root = await storageHost.directory();
    return await root.getDirectoryHandle('chunkwise-caches', { create: true });
  } catch (cause) {
    const reason = `this browser gives no private file system: ${String(cause)}`; // private windows of some refuse
    throw new ChunkwiseError('unsupported', { field: 'storage', reason }, { cause });
  }
}
