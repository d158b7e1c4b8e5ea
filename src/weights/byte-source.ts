import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Random access to the bytes of one file, wherever it lies. */
export interface ByteSource {
  /** Shown in errors and progress. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Reads exactly `length` bytes from `offset`; throws `bad_file` when they reach past the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Refuses a read that reaches past the end of `source`; every `read` begins with it. */
export function checkReadRange(source: ByteSource, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= source.size) return;
  throw new ChunkwiseError('bad_file', {
    file: source.name,
    reason: `bytes ${offset} to ${offset + length} are wanted, but the file ends at ${source.size}`,
  });
}
