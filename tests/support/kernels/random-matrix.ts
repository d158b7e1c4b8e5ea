import type { Device } from '../../../src/gpu/device.ts';
import { Recorder } from '../../../src/gpu/recorder.ts';
import type { WeightMatrix } from '../../../src/layers/weight-matrix.ts';
import { type RowSource, WeightUpload } from '../../../src/layers/weight-upload.ts';
import { dequantize } from '../../reference/dequantize.ts';
import { BytesSource } from '../bytes-source.ts';
import { GGML_TYPES, type GgmlType } from '../../../src/weights/ggml-types.ts';
import { quantize, randomBlocks } from '../models/quantize.ts';
import type { Random } from '../random.ts';
import { byTier } from '../tier.ts';

export const ALL_TYPES = Object.keys(GGML_TYPES) as GgmlType[];
/** A type without blocks, one with minima and one with a scale for each block, for tests that do not depend on how types are decoded. */
export const FEW_TYPES: readonly GgmlType[] = ['F32', 'Q4_1', 'Q6_K'];

/** One type for each way to pack quants and scales in the change tier; else all types. */
export const TYPES = byTier<GgmlType>(['F32', 'F16', 'Q4_0', 'Q4_1', 'Q8_0', 'Q4_K', 'Q6_K'], ALL_TYPES);

/** Columns of a matrix: whole blocks, and at least 32. */
export const fits = (type: GgmlType, columns: number): boolean => columns % GGML_TYPES[type].blockSize === 0;

/** Random bytes of a matrix `[rows, columns]` in a file's layout: any bits in blocks, normally distributed floats. */
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
  const matrix = await uploaded(device, [{ tensor }]);
  return { matrix, weights: dequantize(type, bytes) };
}

/** Uploads all rows of a matrix. Throws for values that are not finite. */
export async function uploaded(
  device: Device,
  sources: readonly RowSource[],
  recorder = new Recorder(device),
): Promise<WeightMatrix> {
  const upload = new WeightUpload(device, recorder);
  try {
    const matrix = await upload.matrix('matrix', sources);
    await upload.finish();
    return matrix;
  } finally {
    upload.destroy();
  }
}
