import { decodeFloats, floatToHalf, halfToFloat } from './float-tensor.ts';
import { GGML_TYPES, type GgmlType } from './ggml-types.ts';
import { type ByteSource, checkReadRange } from './byte-source.ts';
import type { TensorInfo } from './tensor-info.ts';

/** Types that floats are converted to at load: half, 8-bit codes, or 4-bit codes with a minimum. */
export type LoadedType = Extract<GgmlType, 'F16' | 'Q8_0' | 'Q4_1'>;
/** `stored`: float matrices keep their type. */
export type WeightType = LoadedType | 'stored';

/** Quantizes whole blocks to GGUF's `type`, rounded to nearest (llama.cpp, ggml/src/ggml-quants.c). */
export function quantize(type: LoadedType, values: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const bytes = new Uint8Array((values.length / blockSize) * blockBytes);
  const view = new DataView(bytes.buffer);
  const encode = ENCODERS[type];
  for (let at = 0, from = 0; from < values.length; at += blockBytes, from += blockSize) encode(values, from, view, at);
  return bytes;
}

/** Encodes the block that starts at value `from`, to byte `at`. */
type Encoder = (values: Float32Array, from: number, view: DataView, at: number) => void;

const ENCODERS: Record<LoadedType, Encoder> = {
  F16: (values, from, view, at) => view.setUint16(at, floatToHalf(values[from]!), true),
  Q8_0(values, from, view, at) {
    let largest = 0;
    for (let i = 0; i < 32; i++) largest = Math.max(largest, Math.abs(values[from + i]!));
    const scale = putHalf(view, at, largest / 127);
    const inverse = scale === 0 ? 0 : 1 / scale;
    for (let i = 0; i < 32; i++) view.setInt8(at + 2 + i, clamp(Math.round(values[from + i]! * inverse), -127, 127));
  },
  Q4_1(values, from, view, at) {
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < 32; i++) {
      low = Math.min(low, values[from + i]!);
      high = Math.max(high, values[from + i]!);
    }
    const scale = putHalf(view, at, (high - low) / 15);
    const minimum = putHalf(view, at + 2, low);
    const inverse = scale === 0 ? 0 : 1 / scale;
    const code = (i: number): number => clamp(Math.round((values[from + i]! - minimum) * inverse), 0, 15);
    for (let i = 0; i < 16; i++) view.setUint8(at + 4 + i, code(i) | (code(i + 16) << 4));
  },
};

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** Writes a half and returns its value, which the codes depend on. */
function putHalf(view: DataView, at: number, value: number): number {
  const half = floatToHalf(value);
  view.setUint16(at, half, true);
  return halfToFloat(half);
}

/** Floats in memory at once; whole blocks of every type. */
const STEP_VALUES = 1 << 17;

/** A float tensor that is quantized on reading, a part at a time. */
export function quantized(tensor: TensorInfo, type: LoadedType | 'F32'): TensorInfo {
  if (tensor.type === type) return tensor;
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const values = tensor.shape.reduce((product, length) => product * length, 1);
  const bytes = (values / blockSize) * blockBytes;
  return { ...tensor, type, bytes, offset: 0, source: new QuantizedSource(tensor, type, bytes) };
}

/** An F32 tensor whose values are mapped on reading. */
export function changed(tensor: TensorInfo, change: (value: number) => number): TensorInfo {
  const { source, offset, bytes: size } = tensor;
  const read = async (from: number, length: number): Promise<Uint8Array> => {
    const floats = decodeFloats('F32', await source.read(offset + from, length));
    return new Uint8Array(floats.map(change).buffer);
  };
  return { ...tensor, offset: 0, source: { name: source.name, size, read } };
}

class QuantizedSource implements ByteSource {
  readonly name: string;

  constructor(
    private readonly tensor: TensorInfo,
    private readonly type: LoadedType | 'F32',
    readonly size: number,
  ) {
    this.name = tensor.source.name;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    const { blockSize, blockBytes } = GGML_TYPES[this.type];
    const result = new Uint8Array(length);
    const end = offset + length;
    const stepBytes = (STEP_VALUES / blockSize) * blockBytes;
    for (let at = Math.floor(offset / blockBytes) * blockBytes; at < end; at += stepBytes) {
      const until = Math.min(at + stepBytes, Math.ceil(end / blockBytes) * blockBytes);
      const bytes = await this.#quantize((at / blockBytes) * blockSize, ((until - at) / blockBytes) * blockSize);
      const from = Math.max(offset, at);
      result.set(bytes.subarray(from - at, Math.min(until, end) - at), from - offset);
    }
    return result;
  }

  async #quantize(first: number, count: number): Promise<Uint8Array> {
    const { type, offset, source } = this.tensor;
    const { blockBytes } = GGML_TYPES[type];
    const floats = decodeFloats(type, await source.read(offset + first * blockBytes, count * blockBytes));
    return this.type === 'F32'
      ? new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)
      : quantize(this.type, floats);
  }
}
