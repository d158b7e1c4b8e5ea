import type { Device } from '../gpu/device.ts';
import { checkFinite } from '../kernels/formats/finite-planes.ts';
import { repack } from '../kernels/formats/repack.ts';
import type { RowSource, WeightUpload } from '../layers/upload/weight-upload.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import { rowsOf, type TensorInfo } from '../weights/tensor-info.ts';

export interface LoadingOptions {
  /** Told of bytes read from the file, as they are uploaded. */
  onBytes?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Reads a model's tensors, by name, onto the GPU. Errors: `bad_file` for a number that is not finite, `aborted`, and what the sources throw. */
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
    if (!tensor) throw new Error(`no tensor ${name}`); // checkTensors has seen to it
    return tensor;
  }

  /** One matrix for each run of sources of one type. */
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

  /** Matrices of so many experts, each tensor's rows of one below those of the one before, then the next one's: an expert's lie together. */
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

  /** The bytes of a vector, or of a small matrix. */
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
