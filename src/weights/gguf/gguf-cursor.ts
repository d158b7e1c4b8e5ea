import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { ErrorCode } from '../../errors/chunkwise-error.ts';
import type { ByteSource } from '../byte-source.ts';

/** Real headers end below 20 MB. What claims more is refused before it is downloaded. */
const MAX_HEADER_BYTES = 64 * 2 ** 20;
/** Strings and booleans in arrays, all together; a vocabulary of 262,144 with its merges has 0.8 million. */
const MAX_ITEMS = 2 ** 21;
const FIRST_READ_BYTES = 2 * 2 ** 20;

/** Not a fault of the file: the record being parsed goes on past the bytes read so far. */
class WindowTooShort extends Error {
  constructor(readonly needed: number) {
    super();
  }
}

/**
 * Parses the front of a file synchronously, over a window of its first bytes that grows as parsing asks for more.
 * Nothing is read or allocated for a length that the rest of the file cannot hold.
 */
export class GgufCursor {
  position = 0;
  /** What is being read; names the place in errors. */
  field: string | undefined;
  private window = new Uint8Array(0);
  private view = new DataView(this.window.buffer);
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private readonly limit: number;
  private itemsLeft = MAX_ITEMS;

  constructor(private readonly source: ByteSource) {
    this.limit = Math.min(source.size, MAX_HEADER_BYTES);
  }

  /** Runs `parse`, and runs it again from the same position with a larger window as long as that falls short. */
  async record<T>(parse: (cursor: GgufCursor) => T): Promise<T> {
    const start = this.position;
    const itemsLeft = this.itemsLeft;
    for (;;) {
      try {
        return parse(this);
      } catch (error) {
        if (!(error instanceof WindowTooShort)) throw error;
        await this.grow(error.needed);
        this.position = start;
        this.itemsLeft = itemsLeft;
      }
    }
  }

  fail(reason: string, code: ErrorCode = 'bad_file'): never {
    throw new ChunkwiseError(code, { file: this.source.name, field: this.field, reason });
  }

  /** Refuses `count` of `what` that take `size` bytes or more each, where the rest of the file is shorter than that. */
  checkCount(count: number, size: number, what: string): void {
    const left = this.limit - this.position;
    if (count <= left / size) return;
    const claim = `${count} ${what} at byte ${this.position}`;
    this.fail(
      this.limit < this.source.size
        ? `${claim} would make the header longer than ${MAX_HEADER_BYTES} bytes`
        : `${claim} need ${count * size} bytes or more, but ${left} are left in the file`,
    );
  }

  /** As checkCount, for items that are parsed one by one: their number bounds the time and memory a header can cost. */
  claimItems(count: number, size: number, what: string): void {
    this.checkCount(count, size, what);
    if (count > this.itemsLeft) this.fail(`${count} ${what} take the header beyond ${MAX_ITEMS} items`);
    this.itemsLeft -= count;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** A count, length or offset: an unsigned 64-bit integer below 2^53. */
  size(what: string): number {
    const value = this.view.getBigUint64(this.take(8), true);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : this.fail(`${what} ${value} is beyond 2^53`);
  }

  string(): string {
    const length = this.size('string length');
    this.checkCount(length, 1, 'bytes of text');
    const start = this.take(length);
    return this.decoder.decode(this.window.subarray(start, start + length));
  }

  /** A copy of the next `length` bytes, in a buffer of its own. */
  bytes(length: number): ArrayBuffer {
    this.checkCount(length, 1, 'bytes');
    const start = this.take(length);
    return this.window.slice(start, start + length).buffer;
  }

  private take(length: number): number {
    const start = this.position;
    const end = start + length;
    if (end > this.window.byteLength) {
      this.checkCount(length, 1, 'bytes');
      throw new WindowTooShort(end);
    }
    this.position = end;
    return start;
  }

  private async grow(needed: number): Promise<void> {
    const had = this.window.byteLength;
    const length = Math.min(this.limit, Math.max(needed, 2 * had, FIRST_READ_BYTES));
    const added = await this.source.read(had, length - had);
    const window = new Uint8Array(length);
    window.set(this.window);
    window.set(added, had);
    this.window = window;
    this.view = new DataView(window.buffer);
  }
}
