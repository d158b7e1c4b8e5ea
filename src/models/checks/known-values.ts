import type { Device } from '../../gpu/device.ts';
import type { ByteSource } from '../../weights/byte-source.ts';
import { dequantize } from '../../weights/dequantize.ts';
import { floatToHalf } from '../../weights/float-tensor.ts';
import { GGML_TYPES, type GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';

/** Byte offsets of a block's f16 numbers. */
const HALVES: Record<GgmlType, readonly number[]> = {
  ...{ F32: [], F16: [], BF16: [], Q8_0: [0], Q4_0: [0], Q5_0: [0], Q6_K: [208] },
  ...{ Q4_1: [0, 2], Q5_1: [0, 2], Q4_K: [0, 2], Q5_K: [0, 2], Q2_K: [80, 82], Q3_K: [108], TQ1_0: [52], TQ2_0: [64] },
  ...{ IQ3_XXS: [0], IQ4_NL: [0], IQ4_XS: [0], MXFP4: [], Q1_0: [0], Q2_0: [0] },
};

/** Reproducible pseudo-random numbers in [0, 1) (Lehmer, 1951). */
export function anyNumbers(): () => number {
  let state = 20_260;
  return () => (state = (state * 48_271) % 0x7fffffff) / 0x7fffffff;
}

/** Pseudo-random numbers from −1 to 1 that f16 represents exactly. */
export const anyHalves = (count: number, next: () => number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, () => Math.round((2 * next() - 1) * 64) / 64);

/** A pseudo-random quantized matrix in memory, and its values. */
export function anyMatrix(
  type: GgmlType,
  rows: number,
  columns: number,
  next: () => number,
): { tensor: TensorInfo; bytes: Uint8Array; values: Float32Array } {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const bytes = new Uint8Array(((rows * columns) / blockSize) * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const value = (2 * next() - 1) / 8;
    if (type === 'F32') view.setFloat32(at, value, true);
    else if (type === 'F16') view.setUint16(at, floatToHalf(value), true);
    else if (type === 'BF16') view.setUint16(at, new Uint16Array(new Float32Array([value]).buffer)[1]!, true);
    else for (let i = 0; i < blockBytes; i++) bytes[at + i] = Math.floor(256 * next());
    if (type === 'MXFP4') bytes[at] = 118 + Math.floor(4 * next()); // a power of two
    for (const half of HALVES[type]) view.setUint16(at + half, floatToHalf((next() + 0.5) / 256), true);
  }
  const source: ByteSource = {
    name: 'check',
    size: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
  return {
    tensor: { name: 'check', shape: [rows, columns], type, bytes: bytes.length, offset: 0, source },
    bytes,
    values: dequantize(type, bytes),
  };
}

/** A buffer with these numbers. */
export function bufferOf(device: Device, values: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): GPUBuffer {
  const buffer = device.buffers.storage('check', 'staging', values.byteLength);
  device.gpuDevice.queue.writeBuffer(buffer, 0, values);
  return buffer;
}

/** x · y */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function rmsNormed(x: Float32Array, weight: Float32Array, eps: number): Float32Array {
  const rms = Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => (value / rms) * weight[i]!);
}

export function layerNormed(x: Float32Array, weight: Float32Array, bias: Float32Array, eps: number): Float32Array {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const apart = x.map((value) => value - mean);
  const deviation = Math.sqrt(dot(apart, apart) / x.length + eps);
  return apart.map((value, i) => (value / deviation) * weight[i]! + bias[i]!);
}

/** GELU: x · Φ(x), with Φ by Simpson's rule. */
export function gelu(x: number): number {
  const steps = 64;
  const bell = (at: number): number => Math.exp((-at * at) / 2) / Math.sqrt(2 * Math.PI);
  let area = 0;
  for (let i = 0; i <= steps; i++) area += (i === 0 || i === steps ? 1 : 2 + 2 * (i % 2)) * bell((i * x) / steps);
  return x * (0.5 + (area * x) / (3 * steps));
}

/** Converts a value to its rotated form in pages, or back; see `rotation` in shaders/parts/attention.wgsl. */
export function rotatedValue(value: Float32Array): Float32Array {
  let block = 64;
  while (value.length % block !== 0) block /= 2;
  const rotated = value.map((x) => x / Math.sqrt(block));
  for (let apart = 1; apart < block; apart *= 2) {
    for (let i = 0; i < value.length; i++) {
      if ((i & apart) !== 0) continue;
      const [a, b] = [rotated[i]!, rotated[i + apart]!];
      [rotated[i], rotated[i + apart]] = [a + b, a - b];
    }
  }
  return rotated;
}

/** Rows of keys, then equally many of values, as stored in pages. */
export const storedRows = (rows: readonly Float32Array[]): Float32Array[] =>
  rows.map((row, i) => (i < rows.length / 2 ? row : rotatedValue(row)));
