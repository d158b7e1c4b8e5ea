import type { ByteSource } from '../byte-source.ts';
import { GGML_TYPES, ggmlTypeById, ggmlTypeName } from '../ggml-types.ts';
import { GgufCursor } from './gguf-cursor.ts';
import { GgufMetadata } from './gguf-metadata.ts';
import type { GgufValue } from './gguf-metadata.ts';
import { readGgufValue } from './gguf-value.ts';
import type { TensorInfo } from '../tensor-info.ts';

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
const MAX_RECORDS = 65_536; // real files have below 100 entries and some thousand tensors
const MIN_ENTRY_BYTES = 8 + 4 + 1;
const MIN_TENSOR_INFO_BYTES = 8 + 4 + 4 + 8;

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian (ggml/docs/gguf.md). The tensors' bytes stay where
 * they are. Throws `bad_file` or `unsupported`, naming the file, the key or tensor, and why.
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

/** `offset` counts from where the tensors' data begins. */
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

/** Names are unique; the data follow one another in the infos' order, as llama.cpp requires, and end in the file. */
function checkPlaces(cursor: GgufCursor, tensors: readonly TensorInfo[], dataStart: number, alignment: number): void {
  const names = new Set<string>();
  let expected = dataStart;
  for (const { name, bytes, offset, source } of tensors) {
    cursor.field = name;
    if (names.has(name)) cursor.fail('occurs twice among the tensors');
    names.add(name);
    if (offset !== expected) cursor.fail(`begins at byte ${offset}, but the tensor before it calls for ${expected}`);
    expected = Math.ceil((offset + bytes) / alignment) * alignment;
    if (offset + bytes > source.size) {
      cursor.fail(`truncated: its ${bytes} bytes begin at ${offset}, but the file ends at ${source.size}`);
    }
  }
}
