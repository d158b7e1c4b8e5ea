import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { linearDecodeGroups, linearDecodeKernel } from '../kernels/linear-decode.ts';
import { linearPrefillGroups, linearPrefillKernel } from '../kernels/linear-prefill.ts';
import type { Norm } from './norm.ts';
import type { MatrixSlice, WeightMatrix } from './weight-matrix.ts';

export interface LinearOptions {
  x: GPUBuffer;
  y: GPUBuffer;
  /** Rows of `y` above this matrix's, where several matrices fill one output; default 0. */
  outputStart?: number;
  /** Width of a row of `y`; default: the matrix's rows. */
  outputWidth?: number;
  /** Applied to x first: within the kernel for one token; a batch is read from the norm's output, made beforehand. */
  norm?: Norm;
  /** Of the whole output, `[outputWidth]`. */
  bias?: GPUBuffer;
  /** Add to y: the residual. */
  accumulate?: boolean;
}

/** y = W · norm(x) + bias (+ y). One token and a batch have a kernel each. */
export class Linear {
  readonly #decode: (readonly [MatrixSlice, Operation])[];
  readonly #prefill: (readonly [MatrixSlice, Operation])[];
  readonly #outputStart: number;
  readonly #outputWidth: number;

  constructor(
    private readonly device: Device,
    matrix: WeightMatrix,
    options: LinearOptions,
  ) {
    const { type, columns, rows, slices } = matrix;
    const { x, y, norm, bias, accumulate, outputWidth = rows } = options;
    const hasBias = bias !== undefined;
    this.#outputStart = options.outputStart ?? 0;
    this.#outputWidth = outputWidth;
    const common = { y, ...(bias && { bias_values: bias }) };
    const decode = linearDecodeKernel(device, { type, columns, normEps: norm?.eps, accumulate, hasBias });
    const prefill = linearPrefillKernel(device, { type, columns, accumulate, hasBias });
    this.#decode = slices.map((slice) => {
      const bounds = { ...slice.planes, ...common, x, ...(norm && { norm_weight: norm.weight }) };
      return [slice, createOperation(device, decode, bounds)];
    });
    this.#prefill = slices.map((slice) => {
      const bounds = { ...slice.planes, ...common, x: norm?.output ?? x };
      return [slice, createOperation(device, prefill, bounds)];
    });
  }

  /** `scale`: of the product, before the bias. */
  record(recorder: Dispatcher, tokens: number, scale = 1): void {
    for (const [{ rowStart, rows }, operation] of tokens === 1 ? this.#decode : this.#prefill) {
      const groups =
        tokens === 1 ? linearDecodeGroups(this.device, rows) : linearPrefillGroups(this.device, rows, tokens);
      const outputWidth = this.#outputWidth;
      recorder.run(operation, groups, { rowStart: this.#outputStart + rowStart, rows, scale, tokens, outputWidth });
    }
  }
}
