import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { RemoteFile } from './remote-file.ts';

/** Exists in workers only, so TypeScript's library for pages leaves it out. */
interface SyncAccessHandle {
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

declare global {
  interface FileSystemFileHandle {
    createSyncAccessHandle(): Promise<SyncAccessHandle>;
  }
}

/** What a stored file is a copy of. */
interface Origin {
  url: string;
  size: number;
  version: string;
}

/** The folder of downloaded models in the origin's private file system; undefined where the browser has none. */
export async function modelFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle('chunkwise-models', { create: true });
  } catch {
    return undefined; // private windows of some browsers refuse
  }
}

/** A downloaded file, or its beginning, beside a note of what it is a copy of. */
export class StoredFile {
  private constructor(
    private readonly data: FileSystemFileHandle,
    private readonly note: FileSystemFileHandle,
    private origin: Origin | undefined,
    private bytes: number,
  ) {}

  static async open(folder: FileSystemDirectoryHandle, url: string): Promise<StoredFile> {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url));
    const name = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    const data = await folder.getFileHandle(`${name}.gguf`, { create: true });
    const note = await folder.getFileHandle(`${name}.json`, { create: true });
    return new StoredFile(data, note, await readNote(note), (await data.getFile()).size);
  }

  /** Bytes held of `remote`: those of another version are worth nothing. */
  held(remote: RemoteFile): number {
    const { origin } = this;
    return origin?.size === remote.size && origin.version === remote.version ? Math.min(this.bytes, origin.size) : 0;
  }

  /** All of what was once on the server is here. */
  get isComplete(): boolean {
    return this.origin !== undefined && this.bytes === this.origin.size;
  }

  async blob(): Promise<Blob> {
    return this.data.getFile();
  }

  /** Continues behind `held(remote)`; `read` yields the bytes from there. What was written survives an interruption. */
  async append(
    remote: RemoteFile,
    read: (offset: number) => AsyncIterable<Uint8Array>,
    onBytes: (held: number) => void,
  ): Promise<void> {
    const held = this.held(remote);
    const handle = await this.data.createSyncAccessHandle();
    try {
      if (held === 0) {
        handle.truncate(0);
        this.bytes = 0;
        await this.writeNote(remote);
      }
      this.bytes = held;
      for await (const bytes of read(held)) {
        const written = handle.write(bytes, { at: this.bytes });
        // Chromium returns a negative error code, as an unsigned number, where the specification throws.
        if (written !== bytes.length) throw new DOMException('the disk is full', 'QuotaExceededError');
        this.bytes += written;
        onBytes(this.bytes);
      }
      handle.flush();
    } catch (cause) {
      if (!(cause instanceof DOMException) || cause.name !== 'QuotaExceededError') throw cause;
      const reason = `the browser's storage was full after ${this.bytes} of ${remote.size} bytes`;
      throw new ChunkwiseError('over_limit', { file: remote.url, field: 'storage', reason }, { cause });
    } finally {
      handle.close();
    }
  }

  private async writeNote({ url, size, version }: RemoteFile): Promise<void> {
    this.origin = { url, size, version };
    const handle = await this.note.createSyncAccessHandle();
    handle.truncate(0);
    handle.write(new TextEncoder().encode(JSON.stringify(this.origin)), { at: 0 });
    handle.close();
  }
}

async function readNote(note: FileSystemFileHandle): Promise<Origin | undefined> {
  try {
    return JSON.parse(await (await note.getFile()).text()) as Origin;
  } catch {
    return undefined; // new, or its writing was interrupted
  }
}
