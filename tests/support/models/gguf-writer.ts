import { GGML_TYPES } from '../../../src/weights/ggml-types.ts';
import type { GgmlType } from '../../../src/weights/ggml-types.ts';

const SCALAR_TYPES = { u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, u64: 10, i64: 11, f64: 12 } as const;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

export interface Scalar {
  type: keyof typeof SCALAR_TYPES;
  value: number | bigint;
}

/** A plain number is written as u32, an array with its own type. */
export type MetadataValue =
  | number
  | string
  | boolean
  | Scalar
  | readonly string[]
  | readonly boolean[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array;

export interface TensorToWrite {
  name: string;
  /** Rows first, as in TensorInfo. */
  shape: readonly number[];
  type: GgmlType;
  bytes: Uint8Array;
}

export interface GgufToWrite {
  metadata: Record<string, MetadataValue>;
  tensors: readonly TensorToWrite[];
  version?: number;
  alignment?: number;
}

export function f32(value: number): Scalar {
  return { type: 'f32', value };
}

/** A GGUF file (ggml/docs/gguf.md) with its tensors in the order given. */
export function writeGguf({ metadata, tensors, version = 3, alignment = 32 }: GgufToWrite): Uint8Array {
  const out = new ByteWriter();
  out.text('GGUF');
  out.u32(version);
  out.u64(tensors.length);
  const entries = Object.entries(alignment === 32 ? metadata : { ...metadata, 'general.alignment': alignment });
  out.u64(entries.length);
  for (const [key, value] of entries) {
    out.string(key);
    writeValue(out, value);
  }
  let offset = 0;
  for (const { name, shape, type, bytes } of tensors) {
    out.string(name);
    out.u32(shape.length);
    for (const length of [...shape].reverse()) out.u64(length);
    out.u32(GGML_TYPES[type].id);
    out.u64(offset);
    offset = Math.ceil((offset + bytes.byteLength) / alignment) * alignment;
  }
  for (const { bytes } of tensors) {
    out.align(alignment);
    out.bytes(bytes);
  }
  out.align(alignment);
  return out.finish();
}

function writeValue(out: ByteWriter, value: MetadataValue): void {
  if (typeof value === 'number') {
    out.u32(SCALAR_TYPES.u32);
    out.u32(value);
  } else if (typeof value === 'string') {
    out.u32(STRING);
    out.string(value);
  } else if (typeof value === 'boolean') {
    out.u32(BOOL);
    out.u8(value ? 1 : 0);
  } else if ('type' in value) {
    out.u32(SCALAR_TYPES[value.type]);
    writeScalar(out, value);
  } else {
    out.u32(ARRAY);
    out.u32(elementType(value));
    out.u64(value.length);
    if (ArrayBuffer.isView(value)) out.bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    else value.forEach((item) => (typeof item === 'string' ? out.string(item) : out.u8(item ? 1 : 0)));
  }
}

function writeScalar(out: ByteWriter, { type, value }: Scalar): void {
  const view = new DataView(new ArrayBuffer(8));
  const n = Number(value);
  const bytes = {
    u8: () => (view.setUint8(0, n), 1),
    i8: () => (view.setInt8(0, n), 1),
    u16: () => (view.setUint16(0, n, true), 2),
    i16: () => (view.setInt16(0, n, true), 2),
    u32: () => (view.setUint32(0, n, true), 4),
    i32: () => (view.setInt32(0, n, true), 4),
    f32: () => (view.setFloat32(0, n, true), 4),
    u64: () => (view.setBigUint64(0, BigInt(value), true), 8),
    i64: () => (view.setBigInt64(0, BigInt(value), true), 8),
    f64: () => (view.setFloat64(0, n, true), 8),
  }[type]();
  out.bytes(new Uint8Array(view.buffer, 0, bytes));
}

function elementType(value: Exclude<MetadataValue, number | string | boolean | Scalar>): number {
  if (value instanceof Uint8Array) return SCALAR_TYPES.u8;
  if (value instanceof Int8Array) return SCALAR_TYPES.i8;
  if (value instanceof Uint16Array) return SCALAR_TYPES.u16;
  if (value instanceof Uint32Array) return SCALAR_TYPES.u32;
  if (value instanceof Int32Array) return SCALAR_TYPES.i32;
  if (value instanceof Float32Array) return SCALAR_TYPES.f32;
  if (value instanceof Float64Array) return SCALAR_TYPES.f64;
  if (value instanceof BigUint64Array) return SCALAR_TYPES.u64;
  return typeof value[0] === 'boolean' ? BOOL : STRING;
}

class ByteWriter {
  private buffer = new Uint8Array(1024);
  private length = 0;
  private readonly encoder = new TextEncoder();

  bytes(bytes: Uint8Array): void {
    const end = this.length + bytes.byteLength;
    if (end > this.buffer.byteLength) {
      const larger = new Uint8Array(Math.max(end, 2 * this.buffer.byteLength));
      larger.set(this.buffer);
      this.buffer = larger;
    }
    this.buffer.set(bytes, this.length);
    this.length = end;
  }

  u8(value: number): void {
    this.bytes(Uint8Array.of(value));
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  text(text: string): void {
    this.bytes(this.encoder.encode(text));
  }

  string(text: string): void {
    const bytes = this.encoder.encode(text);
    this.u64(bytes.byteLength);
    this.bytes(bytes);
  }

  align(alignment: number): void {
    this.bytes(new Uint8Array((alignment - (this.length % alignment)) % alignment));
  }

  finish(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}
