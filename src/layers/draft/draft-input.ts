import type { Device } from '../../gpu/device.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import type { Dispatcher } from '../../gpu/recorder.ts';
import { joinNormsKernel } from '../../kernels/draft/join-norms.ts';
import type { Activations } from '../activations.ts';
import type { BatchShape } from '../batch.ts';
import type { Embedding } from '../embedding.ts';
import { Linear } from '../linear.ts';
import type { WeightMatrix } from '../weight-matrix.ts';

export interface DraftInputParts {
  embedding: Embedding;
  /** `[hiddenSize]` each. */
  tokenNorm: GPUBuffer;
  stateNorm: GPUBuffer;
  /** `[hiddenSize, 2 hiddenSize]` */
  projection: WeightMatrix;
  /** What the model knows before each position of the text `[positions, hiddenSize]`. */
  states: GPUBuffer;
}

/** The batch's tokens → x `[T, hiddenSize]` = W · [norm(embedding), norm(state before the token)]: what a draft head goes on from. */
export class DraftInput {
  readonly #join: Operation<{ tokens: number }>;
  readonly #projection: Linear;

  constructor(
    device: Device,
    eps: number,
    { batchTable, x, gateUp }: Pick<Activations, 'batchTable' | 'x' | 'gateUp'>,
    private readonly parts: DraftInputParts,
  ) {
    const { tokenNorm, stateNorm, states, projection } = parts;
    const bounds = { batch_table: batchTable, x, states, token_weight: tokenNorm, state_weight: stateNorm, y: gateUp };
    this.#join = createOperation(device, joinNormsKernel(device, tokenNorm.size / 4, eps), bounds);
    this.#projection = new Linear(device, projection, { x: gateUp, y: x });
  }

  record(recorder: Dispatcher, { kind, tokens }: BatchShape): void {
    this.parts.embedding.record(recorder, { tokens });
    recorder.run(this.#join, this.#join.groups({ tokens }), { tokens });
    this.#projection.record(recorder, { kind, tokens });
  }
}
