import type { Device } from '../../gpu/device.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import type { Dispatcher } from '../../gpu/recorder.ts';
import { keepStatesKernel } from '../../kernels/draft/keep-states.ts';
import type { Activations } from '../activations.ts';
import type { Norm } from '../norm.ts';

/** Keeps what is known behind each token of a text, after the last norm, at its position: rows of `states [positions, hiddenSize]`. */
export class KeptStates {
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

  /** Of the text whose pages begin at `firstPage`; those before `position` stay as they are from now on. */
  keepFrom(position: number, firstPage: number): void {
    this.device.gpuDevice.queue.writeBuffer(this.#first, 0, new Uint32Array([position, firstPage]));
  }

  record(recorder: Dispatcher, tokens: number): void {
    recorder.run(this.#keep, this.#keep.groups({ tokens }), { tokens });
  }
}
