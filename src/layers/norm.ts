import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { rmsNormKernel } from '../kernels/rms-norm.ts';

export interface NormBuffers {
  x: GPUBuffer;
  output: GPUBuffer;
  /** Add to the output: the residual. */
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

  /** Norms `tokens` tokens of x from `start` on into the first places of the output, which `scale` multiplies, with what was there. */
  record(
    recorder: Dispatcher,
    tokens: number,
    { start = 0, scale = 1 }: { start?: number; scale?: number } = {},
  ): void {
    recorder.run(this.#operation, this.#operation.groups({ tokens }), { start, tokens, scale });
  }
}
