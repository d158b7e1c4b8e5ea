import type { GgufCursor } from './gguf-cursor.ts';
import type { GgufNumberArray, GgufValue } from './gguf-metadata.ts';

const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const MIN_STRING_BYTES = 8;

interface NumberType {
  bytes: number;
  /** Views `buffer` as an array of this type. Files and every machine with WebGPU are little-endian. */
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
