/** Random access to the bytes of one file, wherever it lies. */
export interface ByteSource {
  /** Shown in errors and progress. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Reads exactly `length` bytes from `offset`; throws `bad_file` when they reach past the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}
