import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Random access to the bytes of a file on any storage. */
export interface ByteSource {
  /** Name in errors and progress. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Reads exactly `length` bytes from `offset`; throws `bad_file` past the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Throws if a read reaches past the end of `source`; every `read` starts with it. */
export function checkReadRange(source: ByteSource, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= source.size) return;
  throw new ChunkwiseError('bad_file', {
    file: source.name,
    reason: `bytes ${offset} to ${offset + length} are needed, but the file ends at ${source.size}`,
  });
}

/** A Blob, or a File that the user picked; reads only the requested bytes into memory. */
export class BlobSource implements ByteSource {
  readonly size: number;

  constructor(
    readonly name: string,
    private readonly blob: Blob,
  ) {
    this.size = blob.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    try {
      return new Uint8Array(await this.blob.slice(offset, offset + length).arrayBuffer());
    } catch (cause) {
      // A File becomes unreadable when it changes on disk.
      throw new ChunkwiseError('bad_file', { file: this.name, reason: `cannot be read: ${String(cause)}` }, { cause });
    }
  }
}
