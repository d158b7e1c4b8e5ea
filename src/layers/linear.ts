import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import type { Activation } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { type Bound, type BufferRange, createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher, Params } from '../gpu/recorder.ts';
import { biasStart, type LinearDecodeSize } from '../kernels/linear-decode.ts';
import { decodeKernel, prefillKernel, tokensAtOnce } from '../kernels/linears/linear-kernels.ts';
import type { Batch, BatchShape } from './batch.ts';
import { type LoraInputs, loraParams } from './lora.ts';
import type { Norm } from './norm.ts';
import type { MatrixSlice, WeightMatrix } from './weight-matrix.ts';

export interface LinearOptions {
  x: GPUBuffer;
  y: GPUBuffer;
  /** Rows of `y` above this matrix's, where several matrices fill one output; default 0. */
  outputStart?: number;
  /** Width of a row of `y`; default: the matrix's rows. */
  outputWidth?: number;
  /** Applied to x first: within the kernel in decoding; a prefill is read from the norm's output, made beforehand. */
  norm?: Norm;
  /** Of the whole output, `[outputWidth]`; with a norm, behind its weights (`behindNorm`). */
  bias?: GPUBuffer;
  /** Add to y: the residual. */
  accumulate?: boolean;
  /** Rows are gate, then up: y = activation(gate) · up. In decoding only. */
  gate?: Activation;
  /** What it is made ready for; default: both. */
  kind?: Batch['kind'];
  /** With adapters: what A · x of theirs is kept in. */
  lora?: LoraInputs & { layer: number; buffers: ArenaBuffers };
}

type AtOnce = ReturnType<typeof tokensAtOnce>;

/**
 * y = W · norm(x) + bias (+ y). Decoding and prefill have a kernel each. With adapters W is W + Σ B · A: behind a norm
 * h = A · x is there before; otherwise prefill finds it there, and decoding computes it along, to be added after.
 */
export class Linear {
  readonly #decodes = new Map<AtOnce, readonly Operation<LinearDecodeSize>[]>();
  #prefills: readonly Operation<{ rows: number; tokens: number }>[] | undefined;
  readonly #outputs: number;

  constructor(
    private readonly device: Device,
    private readonly matrix: WeightMatrix,
    private readonly options: LinearOptions,
  ) {
    this.#outputs = options.gate ? matrix.rows / 2 : matrix.rows;
    if (options.kind !== 'prefill') this.#decode(1);
    if (options.kind !== 'decode') this.#prefill();
  }

  /** `scale`: of the product, before the bias. */
  record(recorder: Dispatcher, batch: BatchShape, scale = 1): void {
    const { outputStart = 0, outputWidth = this.#outputs, lora } = this.options;
    const { tokens } = batch;
    const ofSlice = ({ rowStart, rows }: MatrixSlice): Params => ({
      ...{ rowStart: outputStart + rowStart, rows, scale, tokens, outputWidth },
      ...(lora && loraParams(this.device, batch, lora.layer)),
    });
    if (batch.kind === 'decode') this.#recordDecode(recorder, tokens, ofSlice);
    else this.#recordPrefill(recorder, tokens, ofSlice);
  }

  #recordDecode(recorder: Dispatcher, tokens: number, ofSlice: (slice: MatrixSlice) => Params): void {
    const { lora, norm, gate } = this.options;
    const atOnce = tokensAtOnce(this.device, tokens);
    const operations = this.#decode(atOnce);
    this.matrix.slices.forEach((slice, i) => {
      const operation = operations[i] as Operation<LinearDecodeSize>;
      const params = ofSlice(slice);
      const [groups, runs] = operation.groups({ outputs: gate ? slice.rows / 2 : slice.rows, tokens });
      // A matrix in several slices is lowered for once.
      const riding =
        lora && !norm && i === 0 ? (params.adapters ?? 0) * (params.runs ?? 0) * lora.site.widths.length : 0;
      recorder.run(operation, [groups + riding * Math.min(tokens, atOnce), runs], { ...params, groups });
    });
  }

  #recordPrefill(recorder: Dispatcher, tokens: number, ofSlice: (slice: MatrixSlice) => Params): void {
    const operations = this.#prefill();
    this.matrix.slices.forEach((slice, i) => {
      const operation = operations[i] as Operation<{ rows: number; tokens: number }>;
      recorder.run(operation, operation.groups({ rows: slice.rows, tokens }), ofSlice(slice));
    });
  }

  /** Made when first asked for. */
  #decode(tokens: AtOnce): readonly Operation<LinearDecodeSize>[] {
    const known = this.#decodes.get(tokens);
    if (known) return known;
    const { type, columns } = this.matrix;
    const { x, norm, bias, accumulate, gate, lora } = this.options;
    const low = lora && lora.buffers[lora.low];
    const kernel = decodeKernel(this.device, {
      ...{ type, columns, normEps: norm?.eps, accumulate, gate, hasBias: bias !== undefined, tokens },
      ...(lora && (norm ? { adds: lora.site } : { lowers: lora.site })),
    });
    const bounds = {
      x,
      ...(norm && { norm_weight: bias ?? norm.weight }),
      ...(bias && !norm && { bias_values: bias }),
      ...(low && { [norm ? 'low' : 'low_next']: low }),
    };
    const made = this.#onEverySlice(kernel, bounds);
    this.#decodes.set(tokens, made);
    return made;
  }

  /** Made when first asked for. */
  #prefill(): readonly Operation<{ rows: number; tokens: number }>[] {
    const { type, columns } = this.matrix;
    const { x, norm, bias, accumulate, lora } = this.options;
    return (this.#prefills ??= this.#onEverySlice(
      prefillKernel(this.device, { type, columns, accumulate, hasBias: bias !== undefined, adds: lora?.site }),
      {
        x: norm?.output ?? x,
        ...(bias && { bias_values: norm ? behind(bias, biasStart(columns) * 4) : bias }),
        ...(lora && { low: lora.buffers[lora.low] }),
      },
    ));
  }

  #onEverySlice<Size>(kernel: Kernel<Size>, bounds: Record<string, Bound>): readonly Operation<Size>[] {
    const { y, lora } = this.options;
    return this.matrix.slices.map(({ planes }) =>
      createOperation(this.device, kernel, {
        ...planes,
        ...bounds,
        ...(lora && { lora: lora.buffers.lora, counters: lora.buffers.counters }),
        y,
      }),
    );
  }
}

/** What lies in a buffer from a byte of it on. */
const behind = (buffer: GPUBuffer, offset: number): BufferRange => ({ buffer, offset, size: buffer.size - offset });

/** Linears over matrices whose outputs lie one after another in y, whose rows may have room for more. */
export function linearsOf(
  device: Device,
  matrices: readonly WeightMatrix[],
  { outputWidth = matrices.reduce((sum, { rows }) => sum + rows, 0), ...options }: Omit<LinearOptions, 'outputStart'>,
): Linear[] {
  let outputStart = 0;
  return matrices.map((matrix) => {
    const linear = new Linear(device, matrix, { ...options, outputWidth, outputStart });
    outputStart += matrix.rows;
    return linear;
  });
}
