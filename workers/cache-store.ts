import type { CacheStore } from '../src/cache/saved-cache.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

const SUFFIX = '.cache';

/** Keeps saved caches in a folder of the origin's private file system. An empty file is one whose writing broke off. */
export const cacheStore: CacheStore = {
  async get(name) {
    const folder = await cacheFolder();
    try {
      const file = await (await folder.getFileHandle(fileName(name))).getFile();
      return file.size === 0 ? undefined : await file.arrayBuffer();
    } catch (cause) {
      if (cause instanceof DOMException && cause.name === 'NotFoundError') return undefined;
      throw new ChunkwiseError('bad_file', { file: name, reason: `cannot be read: ${String(cause)}` }, { cause });
    }
  },

  async put(name, bytes) {
    const file = await (await cacheFolder()).getFileHandle(fileName(name), { create: true });
    // It takes the place of what was there when it is closed, not before.
    const writable = await file.createWritable();
    try {
      await writable.write(bytes);
      await writable.close();
    } catch (cause) {
      await writable.abort().catch(() => undefined); // closing may have ended it already
      if (!(cause instanceof DOMException)) throw cause;
      if (cause.name !== 'QuotaExceededError') {
        throw new ChunkwiseError('storage_lost', { file: name, reason: `could not be written: ${cause.message}` }, { cause });
      }
      const reason = `the browser's storage has no room for ${bytes.length} bytes`;
      throw new ChunkwiseError('over_limit', { file: name, field: 'storage', reason }, { cause });
    }
  },

  async delete(name) {
    await (await cacheFolder()).removeEntry(fileName(name));
  },

  async list() {
    const files: File[] = [];
    const folder = await cacheFolder().catch(() => undefined);
    if (!folder) return []; // where there is no place for texts there are none
    for await (const handle of folder.values()) if (handle.kind === 'file') files.push(await handle.getFile());
    return files
      .filter(({ name, size }) => name.endsWith(SUFFIX) && size > 0) // browsers write into files of other names
      .map(({ name, size }) => ({ name: decodeURIComponent(name.slice(0, -SUFFIX.length)), bytes: size }));
  },
};

const fileName = (name: string): string => encodeURIComponent(name) + SUFFIX;

async function cacheFolder(): Promise<FileSystemDirectoryHandle> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle('chunkwise-caches', { create: true });
  } catch (cause) {
    const reason = `this browser gives no private file system: ${String(cause)}`; // private windows of some refuse
    throw new ChunkwiseError('unsupported', { field: 'storage', reason }, { cause });
  }
}
