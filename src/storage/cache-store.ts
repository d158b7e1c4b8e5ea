import type { CacheStore } from '../cache/saved-cache.ts';
import { megabytes } from '../util/values.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { isMissing, storageHost, withFiles } from './storage-host.ts';

const SUFFIX = '.cache';

/** Stores saved KV caches in a folder of the origin's private file system. An empty file is an interrupted write. */
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
        // Remove what a killed tab left; the lock rules out another writer.
        for await (const { name: each } of folder.values()) {
          if (each.startsWith(`${fileName}.`)) await folder.removeEntry(each).catch(() => undefined);
        }
        const file = await folder.getFileHandle(fileName, { create: true });
        // The new content replaces the old one on close.
        const writable = await file.createWritable();
        try {
          await writable.write(bytes);
          await writable.close();
        } catch (error) {
          await writable.abort().catch(() => undefined); // close may have ended it already
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
        if (!isMissing(error)) throw error; // another tab deleted it first
      });
    }),

  async list() {
    const found: { name: string; bytes: number }[] = [];
    const folder = await cacheFolder().catch(() => undefined);
    if (!folder) return []; // without a folder there are no caches
    for await (const handle of folder.values()) {
      if (handle.kind !== 'file' || !handle.name.endsWith(SUFFIX)) continue; // browsers write into temporary files of other names
      const { size = 0 } = (await handle.getFile().catch(() => undefined)) ?? {}; // another tab may delete it meanwhile
      if (size > 0) found.push({ name: decodeURIComponent(handle.name.slice(0, -SUFFIX.length)), bytes: size });
    }
    return found;
  },
};

/** Runs `work` with a lock on the name across tabs. */
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
    const reason = `this browser gives no private file system: ${String(cause)}`; // some browsers refuse in private windows
    throw new ChunkwiseError('unsupported', { field: 'storage', reason }, { cause });
  }
}
