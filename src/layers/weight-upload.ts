import { ChunkwiseError, throwIfAborted } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation, readOnce, type Recorder } from '../gpu/recorder.ts';
import { checkFinite, notFinite } from '../kernels/formats/finite-weights.ts';
import { randomWordsKernel, repackKernel, unitsOfRow } from '../kernels/upload.ts';
import { repack } from '../kernels/formats/repack.ts';
import { weightBufferNames } from '../kernels/formats/weight-formats.ts';
import { deinterleaveRows } from '../weights/interleaved-rows.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import { emptyMatrix, type MatrixSlice, weightBufferBytes, type WeightMatrix } from './weight-matrix.ts';

/** Consecutive rows of a matrix in file order; with `headDim`, each head's rows are interleaved. */
export interface Piece {
  row: number;
  rows: number;
  bytes: Uint8Array;
  headDim: number | undefined;
}

/** Repacks file bytes into the layout that kernels read, and finds numbers that are not finite. */
export interface Repacking {
  /** Begins a tensor with pieces of at most `mostBytes`; the returned function uploads a piece. */
  begin(matrix: WeightMatrix, tensor: TensorInfo, mostBytes: number): Promise<(piece: Piece) => Promise<void>>;
  /** Errors: `bad_file` for a number that is not finite, naming the first such tensor; `device_lost`. */
  finish(): Promise<void>;
  destroy(): void;
}

/** The matrix rows that a piece and a slice share: `from` up to `to`. */
function rowsWithin(
  slice: { rowStart: number; rows: number },
  { row, rows }: Pick<Piece, 'row' | 'rows'>,
): { from: number; to: number } {
  return { from: Math.max(row, slice.rowStart), to: Math.min(row + rows, slice.rowStart + slice.rows) };
}

/** Bytes between waits for the GPU; at most twice as many are in flight. */
const LAG_BYTES = 16 << 20;

/** Repacks on the GPU from the file's bytes. */
class GpuRepacking implements Repacking {
  /** Complement of the index of the first tensor with a number that is not finite; 0: none. */
  readonly #fault: GPUBuffer;
  /** Buffer of the current piece. */
  #raw: GPUBuffer | undefined;
  readonly #tensors: TensorInfo[] = [];
  #sinceCheck = 0;
  #check: Promise<void> = Promise.resolve();

  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
  ) {
    this.#fault = device.buffers.storage('fault', 'staging', 4);
  }

  /** Errors: `kernel_refused`. */
  async begin(matrix: WeightMatrix, tensor: TensorInfo, mostBytes: number): Promise<(piece: Piece) => Promise<void>> {
    const { type } = matrix;
    const number = this.#tensors.push(tensor) - 1;
    const raw = this.#rawBuffer(mostBytes);
    const kernel = repackKernel(type);
    const bound = matrix.slices.map(
      (slice) => [slice, createOperation(this.device, kernel, { raw, fault: this.#fault, ...slice.ranges })] as const,
    );
    await this.device.pipelines.ready(bound.map(([, { pipeline }]) => pipeline));
    return (piece) => {
      this.#write(raw, piece.bytes);
      for (const [slice, operation] of bound) this.#repack(matrix, slice, operation, { ...piece, tensor: number });
      return this.#keepUp(piece.bytes.length);
    };
  }

  async finish(): Promise<void> {
    await this.#check;
    await this.#checked();
  }

  destroy(): void {
    const { buffers } = this.device;
    buffers.destroy(this.#fault);
    if (this.#raw) buffers.destroy(this.#raw);
  }

  #rawBuffer(bytes: number): GPUBuffer {
    const { buffers } = this.device;
    if (this.#raw && this.#raw.size >= bytes) return this.#raw;
    if (this.#raw) buffers.destroy(this.#raw);
    return (this.#raw = buffers.storage('raw weights', 'staging', bytes));
  }

  /** Uploads bytes padded to whole words. */
  #write(raw: GPUBuffer, bytes: Uint8Array): void {
    let whole = bytes;
    if (bytes.length % 4 !== 0) {
      whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
      whole.set(bytes);
    }
    this.device.gpuDevice.queue.writeBuffer(raw, 0, whole.buffer, whole.byteOffset, whole.length);
  }

  #repack(
    matrix: WeightMatrix,
    slice: MatrixSlice,
    operation: Operation<{ units: number }>,
    piece: Piece & { tensor: number },
  ): void {
    const { from, to } = rowsWithin(slice, piece);
    if (from >= to) return;
    const rowUnits = unitsOfRow(matrix.type, matrix.columns);
    const units = (to - from) * rowUnits;
    const { headDim = 0, tensor } = piece;
    const params = {
      units,
      firstUnit: (from - slice.rowStart) * rowUnits,
      firstRow: from - piece.row,
      rowUnits,
      headDim,
      tensor,
    };
    this.recorder.run(operation, operation.groups({ units }), params);
  }

  async #keepUp(bytes: number): Promise<void> {
    this.#sinceCheck += bytes;
    if (this.#sinceCheck < LAG_BYTES) return;
    this.#sinceCheck = 0;
    const before = this.#check;
    this.#check = this.#checked();
    this.#check.catch(() => undefined); // awaited below, or dropped if loading was aborted
    await before;
  }

  async #checked(): Promise<void> {
    const part = { buffer: this.#fault, offset: 0, size: 4 };
    const [fault = 0] = new Uint32Array(await readOnce(this.device, 'fault', [part]));
    const tensor = this.#tensors[~fault >>> 0];
    if (tensor) throw notFinite(tensor);
  }
}

/** Repacks in JavaScript, for software adapters. */
class HostRepacking implements Repacking {
  constructor(private readonly device: Device) {}

  async begin(matrix: WeightMatrix, tensor: TensorInfo): Promise<(piece: Piece) => Promise<void>> {
    return async (piece) => this.#upload(matrix, tensor, piece);
  }

  async finish(): Promise<void> {}

  destroy(): void {}

  #upload({ type, columns, slices }: WeightMatrix, tensor: TensorInfo, piece: Piece): void {
    const rowBytes = piece.bytes.length / piece.rows;
    const { row, headDim } = piece;
    const bytes = headDim === undefined ? piece.bytes : deinterleaveRows(piece.bytes, rowBytes, headDim);
    for (const slice of slices) {
      const { from, to } = rowsWithin(slice, piece);
      if (from >= to) continue;
      const buffers = repack(type, bytes.subarray((from - row) * rowBytes, (to - row) * rowBytes));
      checkFinite(tensor, buffers);
      for (const name of weightBufferNames(type)) {
        const words = buffers[name];
        const bound = slice.ranges[name];
        if (!words || !bound) continue;
        const offset = bound.offset + weightBufferBytes(type, name, columns) * (from - slice.rowStart);
        this.device.gpuDevice.queue.writeBuffer(bound.buffer, offset, words.buffer, words.byteOffset, words.byteLength);
      }
    }
  }
}

/** Fills a matrix with random weights on the GPU; its type must have f16 scales. Errors: `kernel_refused`. */
async function fillAtRandom(device: Device, recorder: Recorder, { type, slices }: WeightMatrix): Promise<void> {
  const fills = slices.flatMap(({ ranges }) =>
    weightBufferNames(type).flatMap((name) => {
      const range = ranges[name];
      if (!range) return [];
      const operation = createOperation(device, randomWordsKernel(name), { y: range });
      return [{ operation, words: range.size / 4 }];
    }),
  );
  await device.pipelines.ready(fills.map(({ operation }) => operation.pipeline));
  for (const { operation, words } of fills) recorder.run(operation, operation.groups({ words }), { words });
}

/** A tensor that supplies rows of a matrix; all sources of a matrix have one type. */
export interface RowSource {
  tensor: TensorInfo;
  /** Deinterleaves rows: rows (2i, 2i + 1) of each head of this size become rows (i, i + headDim / 2). */
  interleavedHeadDim?: number;
}

interface UploadOptions {
  /** Memory category; default `weights`. */
  category?: 'weights' | 'adapters';
  /** Called with the file bytes of each uploaded piece. */
  onBytes?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Rows that must share a slice of the matrix; default: 1. */
  together?: number | undefined;
}

/** Bytes read, uploaded and repacked at once. */
const PIECE_BYTES = 4 << 20;

/**
 * Uploads tensors to the GPU. The GPU repacks them, except software adapters, where JavaScript is faster, and devices that
 * repack wrongly. Call `finish` before using the weights, then `destroy`.
 */
export class WeightUpload {
  readonly #repacking: Repacking;

  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
  ) {
    this.#repacking = device.variant.repacksOnHost ? new HostRepacking(device) : new GpuRepacking(device, recorder);
  }

  /**
   * Stacks the rows of `sources` in a matrix. Errors: `over_limit`, `aborted`, `kernel_refused`, `bad_file` for a number
   * that is not finite (here or in `finish`), and those of the source.
   */
  async matrix(label: string, sources: readonly RowSource[], options: UploadOptions = {}): Promise<WeightMatrix> {
    const tensor = sources[0]?.tensor;
    if (!tensor) throw new Error(`${label}: no rows`);
    const rows = sources.reduce((sum, source) => sum + (source.tensor.shape[0] ?? 0), 0);
    const { type, shape } = tensor;
    const matrix = emptyMatrix(this.device, label, options.category ?? 'weights', {
      type,
      rows,
      columns: shape[1] ?? 0,
      tensor,
      together: options.together,
    });
    let row = 0;
    for (const source of sources) {
      if (!tensor.isRandom) await this.#rows(matrix, row, source, options);
      row += source.tensor.shape[0] ?? 0;
    }
    if (tensor.isRandom) await this.#fill(matrix, sources, options);
    return matrix;
  }

  async #fill(matrix: WeightMatrix, sources: readonly RowSource[], { signal, onBytes }: UploadOptions): Promise<void> {
    throwIfAborted(signal);
    await fillAtRandom(this.device, this.recorder, matrix);
    onBytes?.(sources.reduce((sum, { tensor }) => sum + tensor.bytes, 0));
  }

  /** Uploads a source's rows to the matrix from `row` on. */
  async #rows(
    matrix: WeightMatrix,
    row: number,
    { tensor, interleavedHeadDim: headDim }: RowSource,
    options: UploadOptions,
  ): Promise<void> {
    const rowBytes = tensor.bytes / (tensor.shape[0] ?? 1);
    // Whole heads, or groups of four rows, whose scales fill whole words.
    const unit = headDim ?? 4;
    const most = Math.min(PIECE_BYTES, this.device.limits.maxStorageBufferBindingSize);
    const step = Math.max(1, Math.floor(most / rowBytes / unit)) * unit * rowBytes;
    const upload = await this.#repacking.begin(matrix, tensor, Math.min(step, tensor.bytes));
    for (let at = 0; at < tensor.bytes; at += step) {
      if (options.signal?.aborted) throw new ChunkwiseError('aborted', { reason: 'loading was aborted' });
      const bytes = await tensor.source.read(tensor.offset + at, Math.min(step, tensor.bytes - at));
      await upload({ row: row + at / rowBytes, rows: bytes.length / rowBytes, bytes, headDim });
      options.onBytes?.(bytes.length);
    }
  }

  /** Errors: `bad_file` for a number that is not finite, naming the tensor; `device_lost`. */
  finish(): Promise<void> {
    return this.#repacking.finish();
  }

  destroy(): void {
    this.#repacking.destroy();
  }
}
