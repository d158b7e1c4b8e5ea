import {
  closeSync,
  existsSync,
  ftruncateSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { readSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { vi } from 'vitest';

/** What a tab that was killed would have done next. */
export class Killed extends Error {}

/**
 * The origin's private file system and the locks of a browser, on a folder of the disk. Every change of a file is
 * counted; from a chosen one on there is no room, or the tab is gone, half a write done.
 */
export class NodeStorage {
  /** Changes so far, and the one that fails; the first is 1. */
  changes = 0;
  failsAt = Infinity;
  how: 'killed' | 'full' = 'killed';
  private readonly root = mkdtempSync(join(tmpdir(), 'chunkwise-storage-'));
  private readonly open = new Set<string>();
  private held = new Set<string>();
  private waiting: { name: string; start: () => void }[] = [];

  /** In place of the browser's, for the tests of a file. */
  static install(): NodeStorage {
    const storage = new NodeStorage();
    const estimate = (): Promise<StorageEstimate> => Promise.resolve({ quota: 1e9, usage: 0 });
    const getDirectory = (): Promise<object> => Promise.resolve(storage.folder(storage.root));
    vi.stubGlobal('navigator', { storage: { estimate, getDirectory }, locks: { request: storage.request } });
    return storage;
  }

  /** The next visit: what was open is closed, there is room, and changes are counted anew. */
  visit(how: 'killed' | 'full' = 'killed', failsAt = Infinity): void {
    this.open.clear();
    this.held = new Set();
    this.waiting = [];
    Object.assign(this, { changes: 0, how, failsAt });
  }

  /** A file's bytes as they lie there. */
  readonly bytes = (folder: string, name: string): Buffer => readFileSync(join(this.root, folder, name));
  readonly names = (folder: string): string[] =>
    existsSync(join(this.root, folder)) ? readdirSync(join(this.root, folder)) : [];

  remove(): void {
    vi.unstubAllGlobals();
    rmSync(this.root, { recursive: true });
  }

  /** Empties the folder: site data were cleared. */
  clear(): void {
    for (const name of readdirSync(this.root)) rmSync(join(this.root, name), { recursive: true });
  }

  private readonly request = async <T>(
    name: string,
    { ifAvailable = false }: LockOptions,
    work: (lock: object | null) => Promise<T>,
  ): Promise<T> => {
    if (this.held.has(name)) {
      if (ifAvailable) return work(null);
      await new Promise<void>((start) => this.waiting.push({ name, start }));
    }
    const { held } = this;
    held.add(name);
    try {
      return await work({ name });
    } finally {
      held.delete(name);
      const next = this.waiting.findIndex((each) => each.name === name);
      if (next >= 0) this.waiting.splice(next, 1)[0]?.start();
    }
  };

  /** Counts a change. False where there is no room for it; throws where the tab is gone. */
  private mayChange(torn?: () => void): boolean {
    this.changes++;
    if (this.changes < this.failsAt) return true;
    if (this.how === 'full') return false;
    if (this.changes === this.failsAt) torn?.();
    throw new Killed();
  }

  private folder(path: string): object {
    const missing = (): DOMException => new DOMException('not there', 'NotFoundError');
    return {
      name: basename(path),
      getDirectoryHandle: async (name: string) => {
        mkdirSync(join(path, name), { recursive: true });
        return this.folder(join(path, name));
      },
      getFileHandle: async (name: string, { create = false } = {}) => {
        const file = join(path, name);
        if (!existsSync(file)) {
          if (!create) throw missing();
          if (!this.mayChange()) throw new DOMException('no room', 'QuotaExceededError');
          writeFileSync(file, '');
        }
        return this.file(file);
      },
      removeEntry: async (name: string) => {
        const file = join(path, name);
        if (!existsSync(file)) throw missing();
        if (this.open.has(file)) throw new DOMException('open', 'NoModificationAllowedError');
        this.mayChange(); // takes no room
        rmSync(file);
      },
      async *values(this: { getFileHandle: (name: string) => Promise<object> }) {
        for (const name of readdirSync(path)) yield this.getFileHandle(name);
      },
    };
  }

  private file(path: string): object {
    return {
      kind: 'file',
      name: basename(path),
      getFile: async () => {
        if (!existsSync(path)) throw new DOMException('not there', 'NotFoundError');
        return new File([readFileSync(path)], basename(path), { lastModified: statSync(path).mtimeMs });
      },
      createSyncAccessHandle: async () => {
        if (this.open.has(path)) throw new DOMException('open', 'NoModificationAllowedError');
        this.open.add(path);
        return this.access(path);
      },
      createWritable: async () => this.writable(path),
    };
  }

  private access(path: string): object {
    const fd = openSync(path, 'r+');
    const write = (bytes: Uint8Array, at: number): number => writeSync(fd, bytes, 0, bytes.length, at);
    return {
      getSize: () => fstatSync(fd).size,
      read: (bytes: Uint8Array, { at }: { at: number }) => readSync(fd, bytes, 0, bytes.length, at),
      write: (bytes: Uint8Array, { at }: { at: number }) => {
        const half = (): number => write(bytes.subarray(0, bytes.length >> 1), at);
        // Chromium returns an error's code where there is no room, or where the file was deleted.
        return this.mayChange(half) && existsSync(path) ? write(bytes, at) : 0xfffffff0;
      },
      truncate: (size: number) => {
        this.mayChange(); // takes no room
        ftruncateSync(fd, size);
      },
      flush: () => undefined, // a tab is killed, not the machine
      close: () => {
        this.open.delete(path);
        closeSync(fd);
      },
    };
  }

  private writable(path: string): object {
    const swap = `${path}.crswap`;
    const change = (work: () => void, torn?: () => void): void => {
      if (!this.mayChange(torn)) throw new DOMException('no room', 'QuotaExceededError');
      work();
    };
    change(() => writeFileSync(swap, ''));
    return {
      write: async (bytes: Uint8Array) =>
        change(
          () => writeFileSync(swap, bytes),
          () => writeFileSync(swap, bytes.subarray(1)),
        ),
      close: async () => change(() => renameSync(swap, path)),
      abort: async () => rmSync(swap, { force: true }),
    };
  }
}
