import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { embedKernel } from '../kernels/embed.ts';
import type { Activations } from './activations.ts';
import type { MatrixSlice, WeightMatrix } from './weight-matrix.ts';

/** The batch's tokens → x `[T, hiddenSize]`, their embeddings times `scale`. */
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
      createOperation(device, kernel, { ...slice.planes, batch_table: batchTable, tokens, y: x }),
    ]);
  }

  record(recorder: Dispatcher, { tokens }: { tokens: number }): void {
    for (const [{ rowStart, rows }, operation] of this.#operations) {
      recorder.run(operation, operation.groups({ tokens }), { rowStart, rows });
    }
  }
}
