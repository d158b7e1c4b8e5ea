import type { Device } from '../../gpu/device.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import { readOnce } from '../../gpu/readback.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { notFinite } from '../../kernels/formats/finite-planes.ts';
import { repackKernel, unitsOfRow } from '../../kernels/formats/repack-kernel.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import type { MatrixSlice, WeightMatrix } from '../weight-matrix.ts';
import { type Piece, type Repacking, rowsWithin } from './repacking.ts';

/** Bytes after which the GPU is asked how far it is: it lags behind by twice as many at most. */
const LAG_BYTES = 16 << 20;

/** The GPU repacks: the bytes of a piece go up as they are. */
export class GpuRepacking implements Repacking {
  /** The complement of the first tensor that is not finite, counted as they come; 0 is none. */
  readonly #fault: GPUBuffer;
  /** The piece that is repacked. */
  #raw: GPUBuffer | undefined;
  readonly #tensors: TensorInfo[] = [];
  readonly #compiled = new Set<GgmlType>();
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
      (slice) => [slice, createOperation(this.device, kernel, { raw, fault: this.#fault, ...slice.planes })] as const,
    );
    if (!this.#compiled.has(type)) await this.device.pipelines.ready();
    this.#compiled.add(type);
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

  /** What is written is whole words. */
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
    this.#check.catch(() => undefined); // whoever goes on is told; where loading was aborted, nobody
    await before;
  }

  async #checked(): Promise<void> {
    const part = { buffer: this.#fault, offset: 0, size: 4 };
    const [fault = 0] = new Uint32Array(await readOnce(this.device, 'fault', [part]));
    const tensor = this.#tensors[~fault >>> 0];
    if (tensor) throw notFinite(tensor);
  }
}
