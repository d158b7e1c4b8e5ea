import type { ByteSource } from '../byte-source.ts';
import { GGML_TYPES, ggmlTypeById, ggmlTypeName } from '../ggml-types.ts';
import { GgufMetadata, type GgufNumberArray, type GgufValue } from './gguf-metadata.ts';
import type { TensorInfo } from '../tensor-info.ts';
import { ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';

export interface GgufFile {
  readonly version: 2 | 3;
  readonly metadata: GgufMetadata;
  /** In the file's order. */
  readonly tensors: readonly TensorInfo[];
}

const MAGIC = 0x46554747; // 'GGUF', little-endian
const DEFAULT_ALIGNMENT = 32;
const MAX_NAME_BYTES = 64; // GGML_MAX_NAME, ggml/include/ggml.h
const MAX_DIMS = 4; // GGML_MAX_DIMS
const MAX_RECORDS = 65_536; // real files have less than 100 entries and some thousand tensors
const MIN_ENTRY_BYTES = 8 + 4 + 1;
const MIN_TENSOR_INFO_BYTES = 8 + 4 + 4 + 8;

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian (ggml/docs/gguf.md), without the tensors' bytes.
 * Throws `bad_file` or `unsupported`, naming the file, the key or tensor, and the reason.
 */
export async function readGguf(source: ByteSource): Promise<GgufFile> {
  const cursor = new GgufCursor(source);
  const { version, numTensors, numEntries } = await cursor.record(readPrelude);

  const values = new Map<string, GgufValue>();
  for (let i = 0; i < numEntries; i++) {
    const [key, value] = await cursor.record(readEntry);
    if (values.has(key)) cursor.fail('occurs twice in the metadata');
    values.set(key, value);
  }

  const alignment = readAlignment(cursor, values);
  const located: LocatedTensor[] = [];
  for (let i = 0; i < numTensors; i++) {
    cursor.field = `tensor ${i}`;
    located.push(await cursor.record((c) => readTensorInfo(c, alignment)));
  }

  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = located.map((tensor) => ({ ...tensor, offset: dataStart + tensor.offset, source }));
  checkPlaces(cursor, tensors, dataStart, alignment);
  return { version, metadata: new GgufMetadata(source.name, values), tensors };
}

function readPrelude(cursor: GgufCursor): { version: 2 | 3; numTensors: number; numEntries: number } {
  cursor.field = 'magic';
  const magic = cursor.u32();
  if (magic !== MAGIC) cursor.fail(`not a GGUF file: it begins with 0x${magic.toString(16).padStart(8, '0')}`);
  cursor.field = 'version';
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const bigEndian = version !== 0 && (version & 0xffff) === 0;
    const found = bigEndian ? 'a big-endian GGUF file' : `GGUF version ${version}`;
    cursor.fail(`${found} is not read; versions 2 and 3, little-endian, are`, 'unsupported');
  }
  cursor.field = 'tensor count';
  const numTensors = readCount(cursor, MIN_TENSOR_INFO_BYTES, 'tensors');
  cursor.field = 'metadata count';
  const numEntries = readCount(cursor, MIN_ENTRY_BYTES, 'metadata entries');
  return { version, numTensors, numEntries };
}

function readCount(cursor: GgufCursor, minBytes: number, what: string): number {
  const count = cursor.size('count');
  cursor.checkCount(count, minBytes, what);
  return count <= MAX_RECORDS ? count : cursor.fail(`${count} ${what}; at most ${MAX_RECORDS} are read`);
}

function readEntry(cursor: GgufCursor): [string, GgufValue] {
  cursor.field = `metadata at byte ${cursor.position}`;
  const key = cursor.string();
  if (key === '') cursor.fail('the key is empty');
  cursor.field = key.slice(0, 100);
  return [key, readGgufValue(cursor)];
}

function readAlignment(cursor: GgufCursor, values: ReadonlyMap<string, GgufValue>): number {
  cursor.field = 'general.alignment';
  const alignment = values.get(cursor.field) ?? DEFAULT_ALIGNMENT;
  if (typeof alignment === 'number' && alignment >= 8 && Number.isInteger(Math.log2(alignment))) return alignment;
  return cursor.fail(`must be a power of two of at least 8, but is ${String(alignment)}`);
}

/** `offset` starts at the tensors' data. */
type LocatedTensor = Omit<TensorInfo, 'source'>;

function readTensorInfo(cursor: GgufCursor, alignment: number): LocatedTensor {
  const name = cursor.string();
  if (name === '' || name.length > MAX_NAME_BYTES) {
    cursor.fail(`its name has ${name.length} characters; 1 to ${MAX_NAME_BYTES} are allowed`);
  }
  cursor.field = name;
  const numDims = cursor.u32();
  if (numDims < 1 || numDims > MAX_DIMS) cursor.fail(`has ${numDims} dimensions; 1 to ${MAX_DIMS} are allowed`);
  const shape: number[] = [];
  let elements = 1;
  for (let i = 0; i < numDims; i++) {
    const length = cursor.size('dimension');
    if (length === 0) cursor.fail(`dimension ${i} is 0`);
    elements *= length;
    if (!Number.isSafeInteger(elements)) cursor.fail('has more than 2^53 elements');
    shape.unshift(length);
  }
  const typeId = cursor.u32();
  const type =
    ggmlTypeById(typeId) ?? cursor.fail(`tensor type ${ggmlTypeName(typeId)} is not supported`, 'unsupported');
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const rowLength = shape[shape.length - 1] ?? 0;
  if (rowLength % blockSize !== 0) {
    cursor.fail(`its rows have ${rowLength} elements, not a multiple of ${type}'s block of ${blockSize}`);
  }
  const bytes = (elements / blockSize) * blockBytes;
  if (!Number.isSafeInteger(bytes)) cursor.fail('takes more than 2^53 bytes');
  const offset = cursor.size('offset');
  if (offset % alignment !== 0) cursor.fail(`its offset ${offset} is not a multiple of the alignment ${alignment}`);
  return { name, shape, type, bytes, offset };
}

/**
 * Checks that names are unique, that the data are contiguous in the order of the infos, as llama.cpp requires, and that
 * they end in the file.
 */
function checkPlaces(cursor: GgufCursor, tensors: readonly TensorInfo[], dataStart: number, alignment: number): void {
  const names = new Set<string>();
  let expected = dataStart;
  for (const { name, bytes, offset, source } of tensors) {
    cursor.field = name;
    if (names.has(name)) cursor.fail('occurs twice among the tensors');
    names.add(name);
    if (offset !== expected)
      cursor.fail(`must begin at byte ${expected}, after the tensor before it, but begins at ${offset}`);
    expected = Math.ceil((offset + bytes) / alignment) * alignment;
    if (offset + bytes > source.size) {
      cursor.fail(`truncated: its ${bytes} bytes begin at ${offset}, but the file ends at ${source.size}`);
    }
  }
}

const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const MIN_STRING_BYTES = 8;

interface NumberType {
  bytes: number;
  /** Views `buffer` as an array of this type. Files and all machines with WebGPU are little-endian. */
  view: (buffer: ArrayBuffer) => GgufNumberArray;
}

/** Numeric value types by their number in the file (ggml/include/gguf.h). */
const NUMBER_TYPES: Record<number, NumberType> = {
  0: { bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  1: { bytes: 1, view: (buffer) => new Int8Array(buffer) },
  2: { bytes: 2, view: (buffer) => new Uint16Array(buffer) },
  3: { bytes: 2, view: (buffer) => new Int16Array(buffer) },
  4: { bytes: 4, view: (buffer) => new Uint32Array(buffer) },
  5: { bytes: 4, view: (buffer) => new Int32Array(buffer) },
  6: { bytes: 4, view: (buffer) => new Float32Array(buffer) },
  10: { bytes: 8, view: (buffer) => new BigUint64Array(buffer) },
  11: { bytes: 8, view: (buffer) => new BigInt64Array(buffer) },
  12: { bytes: 8, view: (buffer) => new Float64Array(buffer) },
};

/** Reads the type and the value of a metadata entry. */
export function readGgufValue(cursor: GgufCursor): GgufValue {
  const type = cursor.u32();
  if (type === STRING) return cursor.string();
  if (type === BOOL) return readBoolean(cursor);
  if (type === ARRAY) return readArray(cursor);
  const value = readNumbers(cursor, type, 1)[0];
  if (typeof value !== 'bigint') return value ?? 0;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function readArray(cursor: GgufCursor): GgufValue {
  const type = cursor.u32();
  const count = cursor.size('array length');
  if (type === STRING) {
    cursor.claimItems(count, MIN_STRING_BYTES, 'strings');
    return readItems(count, () => cursor.string());
  }
  if (type === BOOL) {
    cursor.claimItems(count, 1, 'booleans');
    return readItems(count, () => readBoolean(cursor));
  }
  if (type === ARRAY) cursor.fail('arrays of arrays are not read', 'unsupported');
  return readNumbers(cursor, type, count);
}

function readItems<T>(count: number, read: () => T): T[] {
  const items: T[] = [];
  for (let i = 0; i < count; i++) items.push(read());
  return items;
}

function readNumbers(cursor: GgufCursor, type: number, count: number): GgufNumberArray {
  const { bytes, view } = NUMBER_TYPES[type] ?? cursor.fail(`value type ${type} does not exist`);
  cursor.checkCount(count, bytes, 'numbers');
  return view(cursor.bytes(count * bytes));
}

function readBoolean(cursor: GgufCursor): boolean {
  const byte = cursor.u8();
  return byte > 1 ? cursor.fail(`a boolean is ${byte}, neither 0 nor 1`) : byte === 1;
}

/** Real headers have less than 20 MB. Larger ones are rejected before they are downloaded. */
const MAX_HEADER_BYTES = 64 * 2 ** 20;
/** Most strings and booleans in all arrays; a vocabulary of 262,144 tokens with its merges has 0.8 million. */
const MAX_ITEMS = 2 ** 21;
const FIRST_READ_BYTES = 2 * 2 ** 20;

/** Signal that the record continues past the bytes read so far. */
class WindowTooShort extends Error {
  constructor(readonly needed: number) {
    super();
  }
}

/**
 * Parses the start of a file synchronously, over a window of its first bytes that grows on demand. Reads and allocates
 * nothing for a length that exceeds the rest of the file.
 */
export class GgufCursor {
  position = 0;
  /** The current record, for errors. */
  field: string | undefined;
  #window = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #limit: number;
  #itemsLeft = MAX_ITEMS;

  constructor(private readonly source: ByteSource) {
    this.#limit = Math.min(source.size, MAX_HEADER_BYTES);
  }

  /** Runs `parse`, and reruns it from the same position with a larger window while the window is too short. */
  async record<T>(parse: (cursor: GgufCursor) => T): Promise<T> {
    const start = this.position;
    const itemsLeft = this.#itemsLeft;
    for (;;) {
      try {
        return parse(this);
      } catch (error) {
        if (!(error instanceof WindowTooShort)) throw error;
        await this.grow(error.needed);
        this.position = start;
        this.#itemsLeft = itemsLeft;
      }
    }
  }

  fail(reason: string, code: ErrorCode = 'bad_file'): never {
    throw new ChunkwiseError(code, { file: this.source.name, field: this.field, reason });
  }

  /** Throws if `count` items of `size` bytes or more exceed the rest of the file. */
  checkCount(count: number, size: number, what: string): void {
    const left = this.#limit - this.position;
    if (count <= left / size) return;
    const claim = `${count} ${what} at byte ${this.position}`;
    this.fail(
      this.#limit < this.source.size
        ? `${claim} would make the header longer than ${MAX_HEADER_BYTES} bytes`
        : `${claim} need ${count * size} bytes or more, but ${left} are left in the file`,
    );
  }

  /** checkCount for items that are parsed one by one; their number limits a header's time and memory. */
  claimItems(count: number, size: number, what: string): void {
    this.checkCount(count, size, what);
    if (count > this.#itemsLeft) this.fail(`${count} ${what} take the header beyond ${MAX_ITEMS} items`);
    this.#itemsLeft -= count;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A count, length or offset: an unsigned 64-bit integer below 2^53. */
  size(what: string): number {
    const value = this.#view.getBigUint64(this.#take(8), true);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : this.fail(`${what} ${value} is beyond 2^53`);
  }

  string(): string {
    const length = this.size('string length');
    this.checkCount(length, 1, 'bytes of text');
    const start = this.#take(length);
    return this.#decoder.decode(this.#window.subarray(start, start + length));
  }

  /** A copy of the next `length` bytes in its own buffer. */
  bytes(length: number): ArrayBuffer {
    this.checkCount(length, 1, 'bytes');
    const start = this.#take(length);
    return this.#window.slice(start, start + length).buffer;
  }

  #take(length: number): number {
    const start = this.position;
    const end = start + length;
    if (end > this.#window.byteLength) {
      this.checkCount(length, 1, 'bytes');
      throw new WindowTooShort(end);
    }
    this.position = end;
    return start;
  }

  private async grow(needed: number): Promise<void> {
    const had = this.#window.byteLength;
    const length = Math.min(this.#limit, Math.max(needed, 2 * had, FIRST_READ_BYTES));
    const added = await this.source.read(had, length - had);
    const window = new Uint8Array(length);
    window.set(this.#window);
    window.set(added, had);
    this.#window = window;
    this.#view = new DataView(window.buffer);
  }
}
