import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { throwIfAborted } from '../../errors/throw-if-aborted.ts';
import type { Device } from '../../gpu/device.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { emptyMatrix, type WeightMatrix } from '../weight-matrix.ts';
import { GpuRepacking } from './gpu-repacking.ts';
import { HostRepacking } from './host-repacking.ts';
import { fillAtRandom } from './random-filling.ts';
import type { Repacking } from './repacking.ts';

/** A tensor that gives a matrix some of its rows; all of a matrix are of one type. */
export interface RowSource {
  tensor: TensorInfo;
  /** Set where rows (2i, 2i + 1) of each head of this size are to become rows (i, i + headDim / 2). */
  interleavedHeadDim?: number;
}

export interface UploadOptions {
  /** What a matrix counts as; `weights` by default. */
  category?: 'weights' | 'adapters';
  /** Told of the bytes of the file that a piece took, once it is up. */
  onBytes?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Rows that stay in one slice of the matrix; default: one. */
  together?: number | undefined;
}

/** Bytes read, uploaded and repacked at once. */
const PIECE_BYTES = 4 << 20;

/**
 * Tensors on their way to the GPU. It repacks them itself, unless it is a software adapter, which takes longer than
 * JavaScript, or errs. `finish` comes before what was uploaded is used, then `destroy`.
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
   * Reads the rows of `sources`, one below the other. Errors: `over_limit`, `aborted`, `kernel_refused`, `bad_file` for what
   * is not finite, here or there, and what the source throws.
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

  /** Those of `source` become the matrix's from `row` on. */
  async #rows(
    matrix: WeightMatrix,
    row: number,
    { tensor, interleavedHeadDim: headDim }: RowSource,
    options: UploadOptions,
  ): Promise<void> {
    const rowBytes = tensor.bytes / (tensor.shape[0] ?? 1);
    // Whole heads, and rows of which scales fill whole words.
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

  /** Errors: `bad_file` for what is not finite, naming the tensor; `device_lost`. */
  finish(): Promise<void> {
    return this.#repacking.finish();
  }

  destroy(): void {
    this.#repacking.destroy();
  }
}
