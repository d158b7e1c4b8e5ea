import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';

/**
 * A disk folder with the interface of a browser's private file system, as far as `src/storage` uses it. Creates the
 * folder if missing.
 */
export async function diskFolder(path: string): Promise<FileSystemDirectoryHandle> {
  await asInBrowsers(() => mkdir(path, { recursive: true }));
  return new DiskFolder(path) as unknown as FileSystemDirectoryHandle;
}

/** Runs a disk operation and throws the errors that a browser would. */
async function asInBrowsers<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toDomException(error);
  }
}

const NAMES: Readonly<Record<string, string>> = {
  ENOENT: 'NotFoundError',
  ENOTDIR: 'NotFoundError',
  ENOSPC: 'QuotaExceededError',
  EDQUOT: 'QuotaExceededError',
};

function toDomException(error: unknown): DOMException {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new DOMException(message, NAMES[code] ?? 'NotAllowedError');
}

class DiskFolder {
  readonly kind = 'directory';
  readonly name: string;

  constructor(private readonly path: string) {
    this.name = basename(path);
  }

  getDirectoryHandle(name: string): Promise<FileSystemDirectoryHandle> {
    return diskFolder(join(this.path, name));
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<DiskFile> {
    const file = join(this.path, name);
    await asInBrowsers(() => (create ? writeFile(file, '', { flag: 'a' }) : access(file)));
    return new DiskFile(file);
  }

  async removeEntry(name: string): Promise<void> {
    await asInBrowsers(() => rm(join(this.path, name), { recursive: true }));
  }

  async *values(): AsyncGenerator<DiskFolder | DiskFile, void> {
    for (const entry of await asInBrowsers(() => readdir(this.path, { withFileTypes: true }))) {
      const path = join(this.path, entry.name);
      yield entry.isDirectory() ? new DiskFolder(path) : new DiskFile(path);
    }
  }
}

class DiskFile {
  readonly kind = 'file';
  readonly name: string;

  constructor(private readonly path: string) {
    this.name = basename(path);
  }

  async getFile(): Promise<DiskBlob> {
    const { size, mtimeMs } = await asInBrowsers(() => stat(this.path));
    return new DiskBlob({ path: this.path, fileSize: size, lastModified: mtimeMs });
  }

  async createSyncAccessHandle(): Promise<SyncAccess> {
    return new SyncAccess(await asInBrowsers(() => openSync(this.path, 'r+')));
  }

  /** Written bytes replace the file on close. */
  async createWritable(): Promise<object> {
    const swap = `${this.path}.${randomUUID()}.crswap`;
    const file = await asInBrowsers(() => open(swap, 'wx'));
    return {
      write: (bytes: Uint8Array) => asInBrowsers(() => file.writeFile(bytes)),
      close: () =>
        asInBrowsers(async () => {
          await file.close();
          await rename(swap, this.path);
        }),
      abort: () =>
        asInBrowsers(async () => {
          await file.close();
          await rm(swap, { force: true });
        }),
    };
  }
}

interface Snapshot {
  path: string;
  /** The file's state when it was opened. */
  fileSize: number;
  lastModified: number;
}

/** A file, or a part of it, that is read on demand. Node's `openAsBlob` is limited to 4 GiB. */
class DiskBlob {
  readonly name: string;
  readonly lastModified: number;

  constructor(
    private readonly file: Snapshot,
    private readonly from = 0,
    readonly size = file.fileSize,
  ) {
    this.name = basename(file.path);
    this.lastModified = file.lastModified;
  }

  slice(start = 0, end = this.size): DiskBlob {
    const from = Math.min(start, this.size);
    return new DiskBlob(this.file, this.from + from, Math.max(0, Math.min(end, this.size) - from));
  }

  /** Throws a DOMException `NotReadableError` if the file changed meanwhile, as browsers do. */
  async arrayBuffer(): Promise<ArrayBuffer> {
    const { path, fileSize, lastModified } = this.file;
    return asInBrowsers(() => open(path, 'r')).then(async (file) => {
      try {
        const { size, mtimeMs } = await file.stat();
        const bytes = new Uint8Array(this.size);
        let done = size === fileSize && mtimeMs === lastModified ? 0 : -1;
        while (done >= 0 && done < bytes.length) {
          const { bytesRead } = await file.read(bytes, done, bytes.length - done, this.from + done);
          done = bytesRead > 0 ? done + bytesRead : -1;
        }
        if (done < 0) throw new DOMException(`${path} has changed since it was opened`, 'NotReadableError');
        return bytes.buffer;
      } finally {
        await file.close();
      }
    });
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }
}

/** Acts like a `FileSystemSyncAccessHandle`, but without exclusive access: writers hold a lock. */
class SyncAccess {
  constructor(private readonly fd: number) {}

  getSize(): number {
    return fstatSync(this.fd).size;
  }

  read(bytes: Uint8Array, { at }: { at: number }): number {
    let done = 0;
    for (let count = -1; done < bytes.length && count !== 0; done += count)
      count = readSync(this.fd, bytes, done, bytes.length - done, at + done);
    return done;
  }

  write(bytes: Uint8Array, { at }: { at: number }): number {
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.fd, bytes, done, bytes.length - done, at + done);
      return bytes.length;
    } catch (error) {
      throw toDomException(error);
    }
  }

  truncate(size: number): void {
    ftruncateSync(this.fd, size);
  }

  /** Written bytes survive the end of the process. Piece hashes detect what a power loss destroys. */
  flush(): void {}

  close(): void {
    closeSync(this.fd);
  }
}
