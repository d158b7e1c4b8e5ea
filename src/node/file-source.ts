import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { checkReadRange } from '../weights/byte-source.ts';
import type { ByteSource } from '../weights/byte-source.ts';

/** A file on disk. Close it after the model is loaded. */
export class FileSource implements ByteSource {
  private constructor(
    readonly name: string,
    readonly size: number,
    private readonly handle: FileHandle,
  ) {}

  /** Throws `bad_file` if the file does not exist or cannot be opened. */
  static async open(path: string): Promise<FileSource> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'r');
      const stat = await handle.stat();
      if (!stat.isFile()) throw new Error('not a regular file');
      return new FileSource(path, stat.size, handle);
    } catch (cause) {
      await handle?.close();
      const reason = `cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new ChunkwiseError('bad_file', { file: path, reason }, { cause });
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) {
        const reason = `ended at byte ${offset + done} though its size was ${this.size} when it was opened`;
        throw new ChunkwiseError('bad_file', { file: this.name, reason });
      }
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}
