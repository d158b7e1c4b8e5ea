import type { MemoryCategory } from '../gpu/buffers.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { MAX_GROUPS } from '../gpu/kernel.ts';
import type { BufferRange } from '../gpu/recorder.ts';
import { WEIGHT_FORMATS, type WeightBufferName, weightBufferNames } from '../kernels/formats/weight-formats.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';

/** Consecutive rows of a matrix, in one buffer. */
export interface MatrixSlice {
  rowStart: number;
  rows: number;
  buffer: GPUBuffer;
  /** Quants and scales buffers by binding name. */
  ranges: Readonly<Partial<Record<WeightBufferName, BufferRange>>>;
}

/** A matrix `[rows, columns]` on the GPU in its file's quantization; split by rows if a binding would be too large. */
export interface WeightMatrix {
  type: GgmlType;
  rows: number;
  columns: number;
  slices: readonly MatrixSlice[];
}

const ALIGNMENT = 256;

/** Bytes of a row in the quants or a scales buffer. */
export const weightBufferBytes = (type: GgmlType, name: WeightBufferName, columns: number): number =>
  ((WEIGHT_FORMATS[type].buffers[name]?.bytes ?? 0) * columns) / 256;
const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** GPU bytes of a matrix without alignment. */
export const matrixBytes = (type: GgmlType, rows: number, columns: number): number =>
  weightBufferNames(type).reduce((sum, name) => sum + weightBufferBytes(type, name, columns) * rows, 0);

/** Decode kernels have at least four rows per workgroup, and at most 65,535 workgroups. */
const MAX_SLICE_ROWS = 4 * MAX_GROUPS;

/** Most rows of a slice: each of its parts fits a storage binding, all together a buffer, and one dispatch covers the rows. */
export function sliceRows(limits: GPUSupportedLimits, type: GgmlType, columns: number): number {
  const sizes = weightBufferNames(type).map((name) => weightBufferBytes(type, name, columns));
  const fitting = Math.min(
    MAX_SLICE_ROWS,
    (limits.maxBufferSize - sizes.length * ALIGNMENT) / matrixBytes(type, 1, columns),
    ...sizes.map((size) => limits.maxStorageBufferBindingSize / size),
  );
  // Whole groups of 256 rows, since scales come in pairs and heads must not be split.
  return Math.floor(fitting / 256) * 256;
}

/** Shape of a matrix to allocate. `together`: rows that must share a slice, default 1. `tensor`: the source, for errors. */
interface EmptyMatrix extends Omit<WeightMatrix, 'slices'> {
  tensor: TensorInfo;
  together?: number | undefined;
}

/** Allocates a matrix. Errors: `over_limit`, naming its tensor. */
export function emptyMatrix(
  device: Device,
  label: string,
  category: MemoryCategory,
  { type, rows, columns, tensor, together = 1 }: EmptyMatrix,
): WeightMatrix {
  const fitting = sliceRows(device.limits, type, columns);
  const perSlice = fitting - (fitting % together);
  if (perSlice === 0) {
    const reason = `${Math.max(256, together)} rows of ${columns} columns in ${type} exceed this device's largest buffer`;
    throw new ChunkwiseError('over_limit', { file: tensor.source.name, field: tensor.name, reason });
  }
  const slices: MatrixSlice[] = [];
  for (let rowStart = 0; rowStart < rows; rowStart += perSlice) {
    const part = { type, columns, rowStart, rows: Math.min(perSlice, rows - rowStart) };
    slices.push(createSlice(device, label, category, part));
  }
  return { type, rows, columns, slices };
}

/** A matrix of one slice with zero weights, for timing kernels. `rows`: at most `sliceRows`. */
export function blankMatrix(device: Device, type: GgmlType, rows: number, columns: number): WeightMatrix {
  return {
    type,
    rows,
    columns,
    slices: [createSlice(device, 'blank', 'staging', { type, columns, rowStart: 0, rows })],
  };
}

/** Destroys a matrix's buffers. */
export function destroyMatrix(device: Device, { slices }: WeightMatrix): void {
  for (const { buffer } of slices) device.buffers.destroy(buffer);
}

/** The rows of a matrix in a slice. */
interface SlicePart {
  type: GgmlType;
  columns: number;
  rowStart: number;
  rows: number;
}

function createSlice(device: Device, label: string, category: MemoryCategory, part: SlicePart): MatrixSlice {
  const { type, columns, rowStart, rows } = part;
  const names = weightBufferNames(type);
  // Whole groups of four rows, since super6 packs the scales of four rows together.
  const sizes = names.map((name) => align(weightBufferBytes(type, name, columns) * Math.ceil(rows / 4) * 4));
  const buffer = device.buffers.storage(
    label,
    category,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  let offset = 0;
  const ranges: Partial<Record<WeightBufferName, BufferRange>> = {};
  names.forEach((name, i) => {
    const size = sizes[i] ?? 0;
    ranges[name] = { buffer, offset, size };
    offset += size;
  });
  return { rowStart, rows, buffer, ranges };
}
