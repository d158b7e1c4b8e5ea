import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { checkFinite } from '../kernels/formats/finite-weights.ts';
import { repack } from '../kernels/formats/repack.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import type { RowSource, WeightUpload } from '../layers/weight-upload.ts';
import { dequantize } from '../weights/dequantize.ts';
import { rowsOf, type TensorInfo } from '../weights/tensor-info.ts';

export interface LoadingOptions {
  /** Called with the file bytes of each upload. */
  onBytes?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Loads a model's tensors by name onto the GPU. Errors: `bad_file` for a number that is not finite, `aborted`, and those of the sources. */
export class TensorLoader {
  constructor(
    private readonly device: Device,
    private readonly tensors: ReadonlyMap<string, TensorInfo>,
    private readonly weights: WeightUpload,
    private readonly options: LoadingOptions,
  ) {}

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  tensor(name: string): TensorInfo {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new Error(`no tensor ${name}`); // checkTensors guarantees it
    return tensor;
  }

  /** Stacks the sources in matrices, one per run of equal types. */
  async matrices(label: string, sources: readonly RowSource[]): Promise<WeightMatrix[]> {
    const runs: RowSource[][] = [];
    for (const source of sources) {
      const last = runs.at(-1);
      if (last?.[0]?.tensor.type === source.tensor.type) last.push(source);
      else runs.push([source]);
    }
    const matrices = [];
    for (const run of runs) matrices.push(await this.#upload(label, run));
    return matrices;
  }

  matrix(name: string): Promise<WeightMatrix> {
    return this.#upload(name, [{ tensor: this.tensor(name) }]);
  }

  /** Stacks the experts of several tensors in one matrix, expert after expert, so that an expert's rows of all tensors are adjacent. */
  experts(label: string, names: readonly string[], count: number): Promise<WeightMatrix> {
    const tensors = names.map((name) => this.tensor(name));
    const rows = tensors.map(({ shape: [all = 0] }) => all / count);
    const sources = Array.from({ length: count }, (_, expert) =>
      tensors.map((tensor, i) => ({ tensor: rowsOf(tensor, tensor.name, expert * rows[i]!, rows[i]!) })),
    ).flat();
    const whole = tensors.length === 1 ? tensors.map((tensor) => ({ tensor })) : sources;
    return this.#upload(
      label,
      whole,
      rows.reduce((sum, each) => sum + each),
    );
  }

  async vector(name: string): Promise<GPUBuffer> {
    return this.buffer(name, await this.read(name));
  }

  /** Reads the bytes of a vector or small matrix. */
  async read(name: string): Promise<Uint8Array> {
    const tensor = this.tensor(name);
    const { source, offset, bytes } = tensor;
    const read = await source.read(offset, bytes);
    checkFinite(tensor, repack(tensor.type, read));
    this.options.onBytes?.(bytes);
    return read;
  }

  buffer(label: string, bytes: Uint8Array, category: 'weights' | 'activations' = 'weights'): GPUBuffer {
    const buffer = this.device.buffers.storage(label, category, bytes.length);
    this.device.gpuDevice.queue.writeBuffer(buffer, 0, bytes.slice());
    return buffer;
  }

  #upload(label: string, sources: readonly RowSource[], together?: number): Promise<WeightMatrix> {
    const { onBytes = () => undefined, signal } = this.options;
    return this.weights.matrix(label, sources, { onBytes, signal, together });
  }
}

/** Most rows cached in memory. */
const MOST_KEPT = 256;

/** A matrix with a row per token that stays in its file; rows are read on demand, with an LRU cache. */
export class TokenRows {
  readonly #kept = new Map<number, Promise<Float32Array>>();

  /** `scale` multiplies every number. */
  constructor(
    private readonly tensor: TensorInfo,
    private readonly scale: number,
  ) {}

  /** Reads rows `[ids.length, columns]`. Errors: `bad_file` for a number that is not finite, and those of the source. */
  async read(ids: readonly number[]): Promise<Float32Array<ArrayBuffer>> {
    const [, columns = 0] = this.tensor.shape;
    const rows = await Promise.all(ids.map((id) => this.#row(id)));
    const all = new Float32Array(ids.length * columns);
    rows.forEach((row, i) => all.set(row, i * columns));
    return all;
  }

  #row(id: number): Promise<Float32Array> {
    const row = this.#kept.get(id) ?? this.#readRow(id);
    this.#kept.delete(id);
    this.#kept.set(id, row); // most recent
    row.catch(() => this.#kept.delete(id)); // a retry may succeed
    const [oldest = id] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(oldest);
    return row;
  }

  async #readRow(id: number): Promise<Float32Array> {
    const {
      name,
      type,
      shape: [rows = 0],
      bytes,
      offset,
      source,
    } = this.tensor;
    const rowBytes = bytes / rows;
    const values = dequantize(type, await source.read(offset + id * rowBytes, rowBytes)).map(
      (value) => value * this.scale,
    );
    if (values.every(Number.isFinite)) return values;
    throw new ChunkwiseError('bad_file', {
      file: source.name,
      field: name,
      reason: `row ${id} has a number that is not finite`,
    });
  }
}
