import { checkReadRange } from '../../src/weights/byte-source.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';

/** A file in memory. Reads are views, not copies. */
export class BytesSource implements ByteSource {
  readonly size: number;

  constructor(
    readonly name: string,
    private readonly bytes: Uint8Array,
  ) {
    this.size = bytes.byteLength;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    return this.bytes.subarray(offset, offset + length);
  }
}
