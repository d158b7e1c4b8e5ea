import type { Device } from '../../../src/gpu/device.ts';
import { uploadMatrix, type WeightMatrix } from '../../../src/layers/weight-matrix.ts';
import { dequantize } from '../../../src/reference/dequantize.ts';
import { BytesSource } from '../bytes-source.ts';
import { GGML_TYPES, type GgmlType } from '../../../src/weights/ggml-types.ts';
import { quantize, randomBlocks } from '../models/quantize.ts';
import type { Random } from '../random.ts';

export const ALL_TYPES = Object.keys(GGML_TYPES) as GgmlType[];

/** A row of a matrix is whole blocks, and of 32 columns at least. */
export const fits = (type: GgmlType, columns: number): boolean => columns % GGML_TYPES[type].blockSize === 0;

/** Bytes of a matrix `[rows, columns]` as in a file: every bit pattern of blocks, normal floats. */
export function randomBytes(type: GgmlType, rows: number, columns: number, random: Random): Uint8Array {
  const { blockSize } = GGML_TYPES[type];
  if (type === 'F32') return new Uint8Array(random.normals(rows * columns, 0.1).buffer);
  if (blockSize === 1) return quantize(type, random.normals(rows * columns, 0.1));
  return randomBlocks(type, (rows * columns) / blockSize, random);
}

/** A random matrix, on the GPU and on the CPU. */
export async function randomMatrix(
  device: Device,
  type: GgmlType,
  rows: number,
  columns: number,
  random: Random,
): Promise<{ matrix: WeightMatrix; weights: Float32Array }> {
  const bytes = randomBytes(type, rows, columns, random);
  const source = new BytesSource('random', bytes);
  const tensor = { name: 'matrix', shape: [rows, columns], type, bytes: bytes.length, offset: 0, source };
  const matrix = await uploadMatrix(device, 'matrix', [{ tensor }]);
  return { matrix, weights: dequantize(type, bytes) };
}
