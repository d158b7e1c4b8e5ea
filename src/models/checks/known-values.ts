import type { Device } from '../../gpu/device.ts';
import type { ByteSource } from '../../weights/byte-source.ts';
import { dequantize } from '../../weights/dequantize.ts';
import { floatToHalf } from '../../weights/float-tensor.ts';
import { GGML_TYPES, type GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';

/** Where the halves of a block stand; all of it in a type of floats. */
const HALVES: Record<GgmlType, readonly number[]> = {
  ...{ F32: [], F16: [], BF16: [], Q8_0: [0], Q4_0: [0], Q5_0: [0], Q6_K: [208] },
  ...{ Q4_1: [0, 2], Q5_1: [0, 2], Q4_K: [0, 2], Q5_K: [0, 2], Q2_K: [80, 82], Q3_K: [108], TQ1_0: [52], TQ2_0: [64] },
  ...{ IQ3_XXS: [0], IQ4_NL: [0], IQ4_XS: [0], MXFP4: [], Q1_0: [0], Q2_0: [0] },
};

/** Numbers in [0, 1) that look like any: the same every time (Lehmer, 1951). */
export function anyNumbers(): () => number {
  let state = 20_260;
  return () => (state = (state * 48_271) % 0x7fffffff) / 0x7fffffff;
}

/** Between −1 and 1, in steps that a half has. */
export const anyHalves = (count: number, next: () => number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, () => Math.round((2 * next() - 1) * 64) / 64);

/** A matrix of any weights in memory, and their values. */
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

/** A buffer that holds these numbers. */
export function bufferOf(device: Device, values: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): GPUBuffer {
  const buffer = device.buffers.storage('check', 'staging', values.byteLength);
  device.gpuDevice.queue.writeBuffer(buffer, 0, values);
  return buffer;
}
