import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { linearDecodeGroups, linearDecodeKernel } from '../kernels/linear-decode.ts';
import { siluMulGroups, siluMulKernel } from '../kernels/silu-mul.ts';
import type { Activations } from './activations.ts';
import { Linear } from './linear.ts';
import type { Norm } from './norm.ts';
import type { WeightMatrix } from './weight-matrix.ts';

/** x += Wdown · (silu(Wgate · norm(x)) · (Wup · norm(x))). For one token gate, up and their product are one dispatch. */
export class Mlp {
  readonly #gateUp: Linear[];
  readonly #siluMul: Operation;
  readonly #fused: Operation | undefined;
  readonly #intermediateSize: number;

  /** `gateUp`: one matrix, gate above up; or the two apart where their types differ. */
  constructor(
    private readonly device: Device,
    { x, gateUp, gated }: Activations,
    matrices: readonly WeightMatrix[],
    norm: Norm,
    private readonly down: Linear,
  ) {
    const outputWidth = matrices.reduce((sum, { rows }) => sum + rows, 0);
    this.#intermediateSize = outputWidth / 2;
    this.#gateUp = matrices.map(
      (matrix, i) =>
        new Linear(device, matrix, { x, y: gateUp, outputWidth, outputStart: i * this.#intermediateSize, norm }),
    );
    this.#siluMul = createOperation(device, siluMulKernel(device, this.#intermediateSize), { x: gateUp, y: gated });
    const [matrix] = matrices;
    const [slice] = matrix?.slices ?? [];
    if (!matrix || !slice || slice.rows !== outputWidth) return;
    const kernel = linearDecodeKernel(device, { ...matrix, normEps: norm.eps, gated: true });
    this.#fused = createOperation(device, kernel, { ...slice.planes, x, norm_weight: norm.weight, y: gated });
  }

  record(recorder: Dispatcher, tokens: number): void {
    const size = this.#intermediateSize;
    if (tokens === 1 && this.#fused) {
      recorder.run(this.#fused, linearDecodeGroups(this.device, size), { rowStart: 0, rows: 2 * size });
    } else {
      for (const linear of this.#gateUp) linear.record(recorder, tokens);
      recorder.run(this.#siluMul, siluMulGroups(this.device, size, tokens));
    }
    this.down.record(recorder, tokens);
  }
}
