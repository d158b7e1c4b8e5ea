import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import type { Activation } from '../config/activations.ts';
import type { Device } from '../gpu/device.ts';
import type { Kernel, Params } from '../gpu/kernel.ts';
import { type Bound, type BufferRange, createOperation, type Dispatcher, type Operation } from '../gpu/recorder.ts';
import { embedKernel, rmsNormKernel } from '../kernels/element-wise.ts';
import { biasStart, type LinearDecodeSize, decodeKernel, mostDecoded, tokensAtOnce } from '../kernels/linear-decode.ts';
import { prefillKernel } from '../kernels/linear-prefill.ts';
import type { Activations } from './activations.ts';
import type { Batch, BatchShape } from './batch.ts';
import { type LoraInputs, loraParams } from './lora.ts';
import type { MatrixSlice, WeightMatrix } from './weight-matrix.ts';

/** Token ids → x `[T, hiddenSize]`: embeddings times `scale`. */
export class Embedding {
  readonly #operations: (readonly [MatrixSlice, Operation<{ tokens: number }>])[];

  constructor(
    device: Device,
    matrix: WeightMatrix,
    scale: number,
    { batchTable, tokens, x }: Pick<Activations, 'batchTable' | 'tokens' | 'x'>,
  ) {
    const kernel = embedKernel(device, matrix.type, matrix.columns, scale);
    this.#operations = matrix.slices.map((slice) => [
      slice,
      createOperation(device, kernel, { ...slice.ranges, batch_table: batchTable, tokens, y: x }),
    ]);
  }

  record(recorder: Dispatcher, { tokens }: { tokens: number }): void {
    for (const [{ rowStart, rows }, operation] of this.#operations) {
      recorder.run(operation, operation.groups({ tokens }), { rowStart, rows });
    }
  }
}

interface NormBuffers {
  x: GPUBuffer;
  output: GPUBuffer;
  /** Adds to the output, as for the residual stream. */
  accumulate?: boolean;
}

/** RMS norm: x `[T, width]` → output `[T, width]`. */
export class Norm {
  readonly output: GPUBuffer;
  readonly #operation: Operation<{ tokens: number }>;

  constructor(
    device: Device,
    readonly weight: GPUBuffer,
    readonly eps: number,
    { x, output, accumulate }: NormBuffers,
  ) {
    this.output = output;
    const kernel = rmsNormKernel(device, weight.size / 4, eps, accumulate);
    this.#operation = createOperation(device, kernel, { x, norm_weight: weight, y: output });
  }

  /**
   * Normalizes `tokens` rows of x from `start` on into rows of the output from `to` on. `scale` multiplies the result, with
   * accumulate the sum.
   */
  record(
    recorder: Dispatcher,
    tokens: number,
    { start = 0, to = 0, scale = 1 }: { start?: number; to?: number; scale?: number } = {},
  ): void {
    recorder.run(this.#operation, this.#operation.groups({ tokens }), { start, tokens, to, scale });
  }
}

export interface LinearOptions {
  x: GPUBuffer;
  y: GPUBuffer;
  /** First row of `y` for this matrix, if several matrices fill one output; default 0. */
  outputStart?: number;
  /** Width of a row of `y`; default: the matrix's rows. */
  outputWidth?: number;
  /** Norm of x: fused into the kernel in decode; prefill reads the norm's output, recorded before. */
  norm?: Norm;
  /** Bias of the whole output `[outputWidth]`; with a norm, stored after its weights. */
  bias?: GPUBuffer;
  /** Adds to y, as for the residual stream. */
  accumulate?: boolean;
  /** Rows are gate, then up: y = activation(gate) · up. Decode only. */
  gate?: Activation;
  /** Kind of batch to compile kernels for; default: both. */
  kind?: Batch['kind'];
  /** Most tokens of a decode step; default: `mostDecoded`. */
  mostTokens?: number;
  /** Fused adapters: their inputs and buffers. */
  lora?: LoraInputs & { layer: number; buffers: ArenaBuffers };
}

type AtOnce = ReturnType<typeof tokensAtOnce>;

/**
 * y = W · norm(x) + bias (+ y), with one kernel each for decode and prefill. Adapters make W + Σ B · A of W. h = A · x is
 * computed beforehand after a norm and in prefill; otherwise decode computes it in the same dispatch, and `LoraDelta` adds
 * B · h afterwards.
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
    const { kind, mostTokens = mostDecoded(device) } = options;
    // All kernels compile now, so that no step has to wait for one.
    if (kind !== 'prefill')
      for (let tokens = 1; tokens <= mostTokens; tokens++) this.#decode(tokensAtOnce(device, tokens));
    if (kind !== 'decode') this.#prefill();
  }

  /** `scale` multiplies the product, before the bias. */
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
      // Only the first slice's dispatch computes A · x.
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

  #prefill(): readonly Operation<{ rows: number; tokens: number }>[] {
    const { type, columns } = this.matrix;
    const { x, norm, bias, accumulate, lora } = this.options;
    return (this.#prefills ??= this.#onEverySlice(
      prefillKernel(this.device, { type, columns, accumulate, hasBias: bias !== undefined, adds: lora?.site }),
      {
        x: norm?.output ?? x,
        ...(bias && { bias_values: norm ? rangeFrom(bias, biasStart(columns) * 4) : bias }),
        ...(lora && { low: lora.buffers[lora.low] }),
      },
    ));
  }

  #onEverySlice<Size>(kernel: Kernel<Size>, bounds: Record<string, Bound>): readonly Operation<Size>[] {
    const { y, lora } = this.options;
    return this.matrix.slices.map(({ ranges }) =>
      createOperation(this.device, kernel, {
        ...ranges,
        ...bounds,
        ...(lora && { lora: lora.buffers.lora, counters: lora.buffers.counters }),
        y,
      }),
    );
  }
}

/** The range of a buffer from byte `offset` on. */
const rangeFrom = (buffer: GPUBuffer, offset: number): BufferRange => ({ buffer, offset, size: buffer.size - offset });

/** Linears whose outputs follow one another in the rows of y; the rows may be wider. */
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
