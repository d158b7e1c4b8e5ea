import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { checkReadRange } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';

/** A Blob, or a File the user picked; only what is asked for is read into memory. */
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
      // A picked file that is changed or deleted on disk makes its File unreadable.
      throw new ChunkwiseError('bad_file', { file: this.name, reason: `cannot be read: ${String(cause)}` }, { cause });
    }
  }
}
