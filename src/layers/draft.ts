import type { Device } from '../gpu/device.ts';
import { createOperation, type Dispatcher, type Operation } from '../gpu/recorder.ts';
import { joinNormsKernel, keepStatesKernel } from '../kernels/draft.ts';
import type { Activations } from './activation-buffers.ts';
import type { BatchShape } from './batch.ts';
import { type Embedding, Linear, type Norm } from './linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

interface DraftInputParts {
  embedding: Embedding;
  /** `[hiddenSize]` each. */
  tokenNorm: GPUBuffer;
  stateNorm: GPUBuffer;
  /** `[hiddenSize, 2 hiddenSize]` */
  projection: WeightMatrix;
  /** The model's hidden states by position `[positions, hiddenSize]`. */
  states: GPUBuffer;
}

/** Input of a draft head: x `[T, hiddenSize]` = W · [norm(embedding), norm(hidden state before the token)]. */
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

/** Stores the hidden state of each token, after the last norm, in `states [positions, hiddenSize]`. */
export class HiddenStates {
  readonly #first: GPUBuffer;
  readonly #keep: Operation<{ tokens: number }>;

  constructor(
    private readonly device: Device,
    { batchTable, x }: Pick<Activations, 'batchTable' | 'x'>,
    { weight, eps }: Norm,
    readonly states: GPUBuffer,
  ) {
    this.#first = device.buffers.storage('first kept state', 'activations', 8);
    const kernel = keepStatesKernel(device, weight.size / 4, eps);
    this.#keep = createOperation(device, kernel, {
      batch_table: batchTable,
      x,
      norm_weight: weight,
      first: this.#first,
      states,
    });
  }

  /** From now on stores only states of the text with pages from `firstPage` on, at `position` and later. */
  keepFrom(position: number, firstPage: number): void {
    this.device.gpuDevice.queue.writeBuffer(this.#first, 0, new Uint32Array([position, firstPage]));
  }

  record(recorder: Dispatcher, tokens: number): void {
    recorder.run(this.#keep, this.#keep.groups({ tokens }), { tokens });
  }
}
