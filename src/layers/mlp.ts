import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { linearDecodeGroups, linearDecodeKernel } from '../kernels/linear-decode.ts';
import { siluMulGroups, siluMulKernel } from '../kernels/silu-mul.ts';
import type { Activations } from './activations.ts';
import type { Batch } from './batch.ts';
import { Linear } from './linear.ts';
import { changes, recordLora } from './lora.ts';
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
    private readonly layer: number,
    { x, gateUp, gated }: Activations,
    matrices: readonly WeightMatrix[],
    readonly norm: Norm,
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

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens } = batch;
    const size = this.#intermediateSize;
    // The product of gate and up cannot be made before an adapter has changed them.
    if (tokens === 1 && this.#fused && !changes(batch.loras, this.layer, ['ffn_gate', 'ffn_up'])) {
      recorder.run(this.#fused, linearDecodeGroups(this.device, size), {
        ...{ rowStart: 0, rows: 2 * size, scale: 1 },
        ...{ tokens: 1, outputWidth: size },
      });
    } else {
      if (tokens > 1) this.norm.record(recorder, tokens);
      for (const linear of this.#gateUp) linear.record(recorder, tokens);
      recordLora(recorder, batch, this.layer, ['ffn_gate', 'ffn_up']);
      recorder.run(this.#siluMul, siluMulGroups(this.device, size, tokens));
    }
    this.down.record(recorder, tokens);
    recordLora(recorder, batch, this.layer, ['ffn_down']);
  }
}
