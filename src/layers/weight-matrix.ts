import type { MemoryCategory } from '../config/memory-report.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { MAX_GROUPS } from '../gpu/grid.ts';
import type { BufferRange } from '../gpu/operation.ts';
import { planeNames, type PlaneName, WEIGHT_FORMATS } from '../kernels/formats/weight-formats.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';

/** Consecutive rows of a matrix, in one buffer. */
export interface MatrixSlice {
  rowStart: number;
  rows: number;
  buffer: GPUBuffer;
  /** The planes by the name kernels bind them under. */
  planes: Readonly<Partial<Record<PlaneName, BufferRange>>>;
}

/** A matrix `[rows, columns]` on the GPU, as quantized as in its file; split by rows where a binding would be too large. */
export interface WeightMatrix {
  type: GgmlType;
  rows: number;
  columns: number;
  slices: readonly MatrixSlice[];
}

const ALIGNMENT = 256;

/** Bytes of a row in one plane. */
export const planeBytes = (type: GgmlType, name: PlaneName, columns: number): number =>
  ((WEIGHT_FORMATS[type].planes[name]?.bytes ?? 0) * columns) / 256;
const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** GPU bytes of a matrix, but for the few that align its planes. */
export const matrixBytes = (type: GgmlType, rows: number, columns: number): number =>
  planeNames(type).reduce((sum, name) => sum + planeBytes(type, name, columns) * rows, 0);

/** Kernels of a token have four rows a workgroup at least, and 65,535 workgroups at most. */
const MAX_SLICE_ROWS = 4 * MAX_GROUPS;

/** Rows that fit one slice: every plane within a storage binding, all of them within a buffer, and a dispatch for each kernel. */
export function sliceRows(limits: GPUSupportedLimits, type: GgmlType, columns: number): number {
  const sizes = planeNames(type).map((name) => planeBytes(type, name, columns));
  const fitting = Math.min(
    MAX_SLICE_ROWS,
    (limits.maxBufferSize - sizes.length * ALIGNMENT) / matrixBytes(type, 1, columns),
    ...sizes.map((size) => limits.maxStorageBufferBindingSize / size),
  );
  // Whole groups of 256 rows: scales come in pairs, and heads are not torn.
  return Math.floor(fitting / 256) * 256;
}

/** What a matrix is to be: `together`: rows that stay in one slice, default one. `tensor`: of which it is. */
interface EmptyMatrix extends Omit<WeightMatrix, 'slices'> {
  tensor: TensorInfo;
  together?: number | undefined;
}

/** A matrix whose weights are to come. Errors: `over_limit`, naming its tensor. */
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

/** A matrix of one slice, whose weights stand for none: to time kernels with. `rows`: at most `sliceRows`. */
export function blankMatrix(device: Device, type: GgmlType, rows: number, columns: number): WeightMatrix {
  return {
    type,
    rows,
    columns,
    slices: [createSlice(device, 'blank', 'staging', { type, columns, rowStart: 0, rows })],
  };
}

/** Gives a matrix's buffers back. */
export function destroyMatrix(device: Device, { slices }: WeightMatrix): void {
  for (const { buffer } of slices) device.buffers.destroy(buffer);
}

/** The rows of a matrix that a slice holds. */
interface SlicePart {
  type: GgmlType;
  columns: number;
  rowStart: number;
  rows: number;
}

function createSlice(device: Device, label: string, category: MemoryCategory, part: SlicePart): MatrixSlice {
  const { type, columns, rowStart, rows } = part;
  const names = planeNames(type);
  // Whole fours of rows, as scales of four runs lie together (slots/scales/super6.wgsl).
  const sizes = names.map((name) => align(planeBytes(type, name, columns) * Math.ceil(rows / 4) * 4));
  const buffer = device.buffers.storage(
    label,
    category,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  let offset = 0;
  const planes: Partial<Record<PlaneName, BufferRange>> = {};
  names.forEach((name, i) => {
    const size = sizes[i] ?? 0;
    planes[name] = { buffer, offset, size };
    offset += size;
  });
  return { rowStart, rows, buffer, planes };
}
