import { isRecord } from '../../util/values.ts';
import { ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';
import type { ByteSource } from '../byte-source.ts';
import { GGML_TYPES } from '../ggml-types.ts';
import type { TensorInfo } from '../tensor-info.ts';

export interface SafetensorsFile {
  /** The `__metadata__` entry; empty without one. */
  readonly metadata: Readonly<Record<string, string>>;
  /** In file order. */
  readonly tensors: readonly TensorInfo[];
}

const PRELUDE_BYTES = 8;
/** An adapter's header takes 150 bytes per tensor, a large model's less than 1 MB. */
const MAX_HEADER_BYTES = 16 * 2 ** 20;
const MAX_TENSORS = 65_536;
const MAX_DIMS = 8;
const METADATA = '__metadata__';

const TYPES: Record<string, 'F32' | 'F16' | 'BF16'> = { F32: 'F32', F16: 'F16', BF16: 'BF16' };

/** Position ids from 0, a buffer that older versions of transformers saved with encoders; it is skipped. */
const isNumbering = (name: string, dtype: unknown): boolean => dtype === 'I64' && /(^|\.)position_ids$/.test(name);
const NUMBERING_BYTES = 8;

/**
 * Reads the header of a safetensors file (huggingface/safetensors, README "Format"), without the tensors' bytes. Throws
 * `bad_file`, or `unsupported` for an element type other than F32, F16 or BF16, naming file and tensor.
 */
export async function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const { text, dataStart } = await readHeaderText(source);
  const header = parseHeader(source, text);
  const tensors: TensorInfo[] = [];
  const leftOut = new Set<string>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === METADATA) metadata = readMetadata(source, entry);
    else tensors.push(readTensor(source, name, entry, dataStart));
    if (isRecord(entry) && isNumbering(name, entry['dtype'])) leftOut.add(name);
  }
  // An empty tensor has the same offset as the next one.
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  checkPlaces(source, tensors, dataStart);
  return { metadata, tensors: tensors.filter(({ name }) => !leftOut.has(name)) };
}

async function readHeaderText(source: ByteSource): Promise<{ text: string; dataStart: number }> {
  const field = 'header length';
  if (source.size < PRELUDE_BYTES) fail(source, field, `the file has ${source.size} bytes, too few for a header`);
  const prelude = await source.read(0, PRELUDE_BYTES);
  const length = new DataView(prelude.buffer, prelude.byteOffset).getBigUint64(0, true);
  if (length > BigInt(source.size - PRELUDE_BYTES)) {
    fail(source, field, `a header of ${length} bytes does not fit the file of ${source.size}; is it safetensors?`);
  }
  if (length > BigInt(MAX_HEADER_BYTES)) {
    fail(source, field, `a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are read`);
  }
  const bytes = await source.read(PRELUDE_BYTES, Number(length));
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return { text, dataStart: PRELUDE_BYTES + Number(length) };
  } catch {
    return fail(source, 'header', 'is not UTF-8');
  }
}

/** JSON.parse keeps the last of duplicate keys, so duplicates are searched in the text. */
function parseHeader(source: ByteSource, text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    return fail(source, 'header', `is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(header)) return fail(source, 'header', 'is not a JSON object');
  const names = new Set<string>();
  for (const name of topLevelKeys(text)) {
    if (names.has(name)) fail(source, name, 'occurs twice in the header');
    names.add(name);
  }
  if (names.size > MAX_TENSORS) fail(source, 'header', `${names.size} tensors; at most ${MAX_TENSORS} are read`);
  return header;
}

function readMetadata(source: ByteSource, entry: unknown): Record<string, string> {
  if (isRecord(entry) && Object.values(entry).every((value) => typeof value === 'string')) {
    return entry as Record<string, string>;
  }
  return fail(source, METADATA, 'must be an object of strings');
}

function readTensor(source: ByteSource, name: string, entry: unknown, dataStart: number): TensorInfo {
  if (!isRecord(entry)) return fail(source, name, 'must be an object of dtype, shape and data_offsets');
  const { dtype, shape, data_offsets: range } = entry;
  if (typeof dtype !== 'string') return fail(source, name, 'its dtype is not a string');
  const isLeftOut = isNumbering(name, dtype);
  const type = Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : isLeftOut ? 'F32' : undefined;
  if (type === undefined) {
    return fail(source, name, `dtype ${dtype.slice(0, 40)} is not read; F32, F16 and BF16 are`, 'unsupported');
  }
  if (!isSizes(shape) || shape.length > MAX_DIMS) {
    return fail(source, name, `its shape must be at most ${MAX_DIMS} whole numbers`);
  }
  if (!isSizes(range) || range.length !== 2) return fail(source, name, 'its data_offsets must be two whole numbers');
  const [begin = 0, end = 0] = range;
  const bytes = shape.reduce(
    (product, length) => product * length,
    isLeftOut ? NUMBERING_BYTES : GGML_TYPES[type].blockBytes,
  );
  if (!Number.isSafeInteger(bytes)) fail(source, name, 'takes more than 2^53 bytes');
  if (end - begin !== bytes) {
    const sizes = shape.join(', ');
    fail(source, name, `its data_offsets span ${end - begin} bytes, but [${sizes}] in ${dtype} takes ${bytes}`);
  }
  return { name, shape, type, bytes, offset: dataStart + begin, source };
}

/** The format allows neither overlaps nor gaps, nor bytes after the last tensor. */
function checkPlaces(source: ByteSource, tensors: readonly TensorInfo[], dataStart: number): void {
  let expected = dataStart;
  for (const { name, offset, bytes } of tensors) {
    if (offset + bytes > source.size) {
      fail(source, name, `truncated: its bytes end at ${offset + bytes}, but the file at ${source.size}`);
    }
    if (offset < expected) fail(source, name, `begins at byte ${offset}, within the tensor that ends at ${expected}`);
    if (offset > expected) fail(source, name, `begins at byte ${offset}, but the one before it ends at ${expected}`);
    expected = offset + bytes;
  }
  if (expected !== source.size) fail(source, 'data', `the tensors end at byte ${expected}, the file at ${source.size}`);
}

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);

function fail(source: ByteSource, field: string, reason: string, code: ErrorCode = 'bad_file'): never {
  throw new ChunkwiseError(code, { file: source.name, field: field.slice(0, 200), reason });
}

/** Keys of the outermost object of valid JSON, in order and with duplicates. */
export function topLevelKeys(text: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  let atKey = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      const start = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      if (atKey) keys.push(JSON.parse(text.slice(start, i + 1)) as string);
      atKey = false;
    } else if (character === '{' || character === '[') {
      depth++;
      atKey = depth === 1;
    } else if (character === '}' || character === ']') {
      depth--;
    } else if (character === ',') {
      atKey = depth === 1;
    }
  }
  return keys;
}
