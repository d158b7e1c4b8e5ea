import type { MemoryCategory } from '../config/memory-report.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import type { BufferRange } from '../gpu/operation.ts';
import { checkFinite } from '../kernels/formats/finite-planes.ts';
import { repack } from '../kernels/formats/repack.ts';
import { planeNames, type PlaneName, WEIGHT_FORMATS } from '../kernels/formats/weight-formats.ts';
import { GGML_TYPES, type GgmlType } from '../weights/ggml-types.ts';
import { deinterleaveRows } from '../weights/interleaved-rows.ts';
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

/** A tensor that gives a matrix some of its rows; all of a matrix are of one type. */
export interface RowSource {
  tensor: TensorInfo;
  /** Set where rows (2i, 2i + 1) of each head of this size are to become rows (i, i + headDim / 2). */
  interleavedHeadDim?: number;
}

/** Bytes read, repacked and uploaded at once. */
const PIECE_BYTES = 4 << 20;
const ALIGNMENT = 256;

const rowBytesOf = (tensor: TensorInfo): number => tensor.bytes / (tensor.shape[0] ?? 1);
const planeBytes = (type: GgmlType, name: PlaneName, columns: number): number =>
  ((WEIGHT_FORMATS[type].planes[name]?.bytes ?? 0) * columns) / 256;
const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** GPU bytes of a matrix, but for the few that align its planes. */
export const matrixBytes = (type: GgmlType, rows: number, columns: number): number =>
  planeNames(type).reduce((sum, name) => sum + planeBytes(type, name, columns) * rows, 0);

/** Rows that fit one slice: every plane within a storage binding, all of them within a buffer. */
export function sliceRows(limits: GPUSupportedLimits, type: GgmlType, columns: number): number {
  const sizes = planeNames(type).map((name) => planeBytes(type, name, columns));
  const fitting = Math.min(
    (limits.maxBufferSize - sizes.length * ALIGNMENT) / matrixBytes(type, 1, columns),
    ...sizes.map((size) => limits.maxStorageBufferBindingSize / size),
  );
  // Whole groups of 256 rows: scales come in pairs, and heads are not torn.
  return Math.floor(fitting / 256) * 256;
}

export interface UploadOptions {
  /** Told of the bytes of the file that a piece took, once it is up. */
  onBytes?: (bytes: number) => void;
  signal?: AbortSignal | undefined;
  /** What the matrix counts as; `weights` by default. */
  category?: 'weights' | 'adapters';
}

/**
 * Reads, repacks and uploads the rows of `sources`, one below the other.
 * Errors: `over_limit`, `aborted`, `bad_file` for what is not finite, and what the source throws.
 */
export async function uploadMatrix(
  device: Device,
  label: string,
  sources: readonly RowSource[],
  { onBytes, signal, category = 'weights' }: UploadOptions = {},
): Promise<WeightMatrix> {
  const first = sources[0]?.tensor;
  if (!first) throw new Error(`${label}: no rows`);
  const { type } = first;
  const columns = first.shape[1] ?? 0;
  const rows = sources.reduce((sum, { tensor }) => sum + (tensor.shape[0] ?? 0), 0);
  const perSlice = sliceRows(device.limits, type, columns);
  if (perSlice === 0) {
    const reason = `256 rows of ${columns} columns in ${type} exceed this device's largest buffer`;
    throw new ChunkwiseError('over_limit', { file: first.source.name, field: first.name, reason });
  }
  const slices: MatrixSlice[] = [];
  for (let rowStart = 0; rowStart < rows; rowStart += perSlice) {
    const part = { type, columns, rowStart, rows: Math.min(perSlice, rows - rowStart) };
    slices.push(createSlice(device, label, category, part));
  }
  let row = 0;
  for (const source of sources) {
    for await (const piece of readPieces(source, signal)) {
      uploadRows(device, { type, rows, columns, slices }, row, piece, source.tensor);
      row += piece.length / rowBytesOf(source.tensor);
      onBytes?.(piece.length);
    }
  }
  return { type, rows, columns, slices };
}

/** A matrix of one slice, whose weights stand for none: to time kernels with. Of the rows as many as fit. */
export function blankMatrix(device: Device, type: GgmlType, rows: number, columns: number): WeightMatrix {
  const fitting = Math.min(rows, sliceRows(device.limits, type, columns));
  const part = { type, columns, rowStart: 0, rows: fitting };
  return { type, rows: fitting, columns, slices: [createSlice(device, 'blank', 'staging', part)] };
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
  const sizes = names.map((name) => align(planeBytes(type, name, columns) * rows));
  const buffer = device.buffers.storage(label, category, sizes.reduce((sum, size) => sum + size, 0));
  let offset = 0;
  const planes: Partial<Record<PlaneName, BufferRange>> = {};
  names.forEach((name, i) => {
    const size = sizes[i] ?? 0;
    planes[name] = { buffer, offset, size };
    offset += size;
  });
  return { rowStart, rows, buffer, planes };
}

/** A tensor's bytes in runs of whole rows (of whole heads, and of even number), their rows in the order wanted. */
async function* readPieces({ tensor, interleavedHeadDim }: RowSource, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const rowBytes = rowBytesOf(tensor);
  const unit = interleavedHeadDim ?? 2;
  const step = Math.max(1, Math.floor(PIECE_BYTES / rowBytes / unit)) * unit * rowBytes;
  for (let at = 0; at < tensor.bytes; at += step) {
    if (signal?.aborted) throw new ChunkwiseError('aborted', { reason: 'loading was aborted' });
    const bytes = await tensor.source.read(tensor.offset + at, Math.min(step, tensor.bytes - at));
    yield interleavedHeadDim === undefined ? bytes : deinterleaveRows(bytes, rowBytes, interleavedHeadDim);
  }
}

function uploadRows(device: Device, matrix: WeightMatrix, row: number, bytes: Uint8Array, tensor: TensorInfo): void {
  const { type, columns, slices } = matrix;
  const rowBytes = (columns / GGML_TYPES[type].blockSize) * GGML_TYPES[type].blockBytes;
  const end = row + bytes.length / rowBytes;
  for (const slice of slices) {
    const from = Math.max(row, slice.rowStart);
    const to = Math.min(end, slice.rowStart + slice.rows);
    if (from >= to) continue;
    const planes = repack(type, bytes.subarray((from - row) * rowBytes, (to - row) * rowBytes));
    checkFinite(tensor, planes);
    for (const name of planeNames(type)) {
      const words = planes[name];
      const bound = slice.planes[name];
      if (!words || !bound) continue;
      const offset = bound.offset + planeBytes(type, name, columns) * (from - slice.rowStart);
      device.gpuDevice.queue.writeBuffer(bound.buffer, offset, words.buffer, words.byteOffset, words.byteLength);
    }
  }
}
