import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { type Bound, createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher, Params } from '../gpu/recorder.ts';
import { linearDecodeGroups, linearDecodeKernel } from '../kernels/linear-decode.ts';
import { linearPrefillGroups, linearPrefillKernel } from '../kernels/linear-prefill.ts';
import type { Batch, BatchShape } from './batch.ts';
import { type LoraInputs, loraParams } from './lora.ts';
import type { Norm } from './norm.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface LinearOptions {
  x: GPUBuffer;
  y: GPUBuffer;
  /** Rows of `y` above this matrix's, where several matrices fill one output; default 0. */
  outputStart?: number;
  /** Width of a row of `y`; default: the matrix's rows. */
  outputWidth?: number;
  /** Applied to x first: within the kernel in decoding; a prefill is read from the norm's output, made beforehand. */
  norm?: Norm;
  /** Of the whole output, `[outputWidth]`. */
  bias?: GPUBuffer;
  /** Add to y: the residual. */
  accumulate?: boolean;
  /** Rows are gate, then up: y = silu(gate) · up. In decoding only. */
  gated?: boolean;
  /** What it is made ready for; default: both. */
  kind?: Batch['kind'];
  /** With adapters: what A · x of theirs is kept in. */
  lora?: LoraInputs & { layer: number; buffers: ArenaBuffers };
}

/**
 * y = W · norm(x) + bias (+ y). Decoding and prefill have a kernel each. With adapters W is W + Σ B · A: behind a norm
 * h = A · x is there before; otherwise prefill finds it there, and decoding computes it along, to be added after.
 */
export class Linear {
  readonly #operations = new Map<string, readonly Operation[]>();
  readonly #outputs: number;

  constructor(
    private readonly device: Device,
    private readonly matrix: WeightMatrix,
    private readonly options: LinearOptions,
  ) {
    this.#outputs = options.gated ? matrix.rows / 2 : matrix.rows;
    if (options.kind !== 'prefill') this.#decode(1);
    if (options.kind !== 'decode') this.#prefill();
  }

  /** `scale`: of the product, before the bias. */
  record(recorder: Dispatcher, batch: BatchShape, scale = 1): void {
    const { tokens, kind } = batch;
    const { lora, norm, gated, outputStart = 0, outputWidth = this.#outputs } = this.options;
    const decodes = kind === 'decode';
    const operations = decodes ? this.#decode(tokens === 1 ? 1 : 2) : this.#prefill();
    this.matrix.slices.forEach(({ rowStart, rows }, i) => {
      const operation = operations[i] as Operation;
      const params: Params = {
        ...{ rowStart: outputStart + rowStart, rows, scale, tokens, outputWidth },
        ...(lora && loraParams(this.device, batch, lora.layer)),
      };
      if (!decodes) return recorder.run(operation, linearPrefillGroups(this.device, rows, tokens), params);
      const [groups, runs] = linearDecodeGroups(this.device, gated ? rows / 2 : rows, tokens);
      // A matrix in several slices is lowered for once.
      const riding = lora && !norm && i === 0 ? (params.adapters ?? 0) * (params.runs ?? 0) * lora.site.widths.length : 0;
      recorder.run(operation, [groups + riding * Math.min(tokens, 2), runs], { ...params, groups });
    });
  }

  #decode(tokens: 1 | 2): readonly Operation[] {
    const { matrix, options } = this;
    const { x, norm, bias, accumulate, gated, lora } = options;
    const low = lora && lora.buffers[lora.low];
    return this.#once(`decode ${tokens}`, () => {
      const { type, columns } = matrix;
      const kernel = linearDecodeKernel(this.device, {
        ...{ type, columns, normEps: norm?.eps, accumulate, gated, hasBias: bias !== undefined, tokens },
        ...(lora && (norm ? { adds: lora.site } : { lowers: lora.site })),
      });
      return [kernel, { x, ...(norm && { norm_weight: norm.weight }), ...(low && { [norm ? 'low' : 'low_next']: low }) }];
    });
  }

  #prefill(): readonly Operation[] {
    const { matrix, options } = this;
    const { x, norm, bias, accumulate, lora } = options;
    return this.#once('prefill', () => {
      const { type, columns } = matrix;
      const hasBias = bias !== undefined;
      const kernel = linearPrefillKernel(this.device, { type, columns, accumulate, hasBias, adds: lora?.site });
      return [kernel, { x: norm?.output ?? x, ...(lora && { low: lora.buffers[lora.low] }) }];
    });
  }

  /** The operations of a kernel on every slice, made when first asked for. */
  #once(name: string, make: () => [Kernel, Record<string, Bound>]): readonly Operation[] {
    const known = this.#operations.get(name);
    if (known) return known;
    const { y, bias, lora } = this.options;
    const [kernel, bounds] = make();
    const operations = this.matrix.slices.map(({ planes }) =>
      createOperation(this.device, kernel, {
        ...planes,
        ...bounds,
        ...(bias && { bias_values: bias }),
        ...(lora && { lora: lora.buffers.lora, counters: lora.buffers.counters }),
        y,
      }),
    );
    this.#operations.set(name, operations);
    return operations;
  }
}

/** Linears over matrices whose outputs lie one after another in y. */
export function linearsOf(
  device: Device,
  matrices: readonly WeightMatrix[],
  options: Omit<LinearOptions, 'outputStart' | 'outputWidth'>,
): Linear[] {
  const outputWidth = matrices.reduce((sum, { rows }) => sum + rows, 0);
  let outputStart = 0;
  return matrices.map((matrix) => {
    const linear = new Linear(device, matrix, { ...options, outputWidth, outputStart });
    outputStart += matrix.rows;
    return linear;
  });
}
