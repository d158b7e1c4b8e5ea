import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { GgmlType } from './ggml-types.ts';
import type { TensorInfo } from './tensor-info.ts';

/** Reads an unquantized tensor. Errors: `unsupported` for a quantized type, and those of the source. */
export async function readFloats(tensor: TensorInfo): Promise<Float32Array> {
  const { name, type, bytes, offset, source } = tensor;
  if (type !== 'F32' && type !== 'F16' && type !== 'BF16') {
    const reason = `is in ${type}; F32, F16 and BF16 are read here`;
    throw new ChunkwiseError('unsupported', { file: source.name, field: name, reason });
  }
  return decodeFloats(type, await source.read(offset, bytes));
}

/** Decodes the bytes of a float tensor. */
export function decodeFloats(type: GgmlType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  // Copy: typed arrays need alignment, which a source's bytes may lack.
  const { buffer } = bytes.slice();
  if (type === 'F32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  const floats = new Float32Array(halves.length);
  if (type === 'F16') {
    const table = (halfTable ??= Float32Array.from({ length: 65_536 }, (_, half) => halfToFloat(half)));
    for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i]!]!;
  } else {
    const words = new Uint32Array(floats.buffer);
    for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  }
  return floats;
}

/** Value of every half; built on first use. */
let halfTable: Float32Array | undefined;

/** Value of IEEE 754 binary16 bits. */
export function halfToFloat(half: number): number {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** IEEE 754 binary16 bits of a value, ties to even; infinity above its range. */
export function floatToHalf(value: number): number {
  float[0] = value;
  const word = bits[0]!;
  const sign = (word >>> 16) & 0x8000;
  const size = word & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00; // NaN
  if (size >= 0x477ff000) return sign | 0x7c00;
  // A subnormal is a multiple of 2^-24: adding 0.5 leaves it in the lowest bits, rounded.
  if (size < 0x38800000) {
    bits[0] = size;
    float[0] = float[0] + 0.5;
    return sign | (bits[0] - 0x3f000000);
  }
  const rounded = size + 0xfff + ((size >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}
