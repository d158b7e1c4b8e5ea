import { MAX_STREAMS } from '../../config/max-streams.ts';
import type { Device } from '../../gpu/device.ts';
import { readOnce } from '../../gpu/readback.ts';
import type { Recorder } from '../../gpu/recorder.ts';

/** Logits as the model gave them, for requests that ask for probabilities, or are drawn later: the sampler changes them in place. */
export class RawLogits {
  /** `[MAX_STREAMS, vocabSize]`; made when it is first needed. */
  #rows: GPUBuffer | undefined;
  readonly #rowBytes: number;

  constructor(
    private readonly device: Device,
    private readonly logits: GPUBuffer,
    vocabSize: number,
  ) {
    this.#rowBytes = vocabSize * 4;
  }

  /** Records a copy of a row of `logits`, before it is sampled, as the stream's. */
  copy(recorder: Recorder, row: number, slot: number): void {
    this.#rows ??= this.device.buffers.storage('raw logits', 'activations', MAX_STREAMS * this.#rowBytes);
    recorder.copy(this.logits, row * this.#rowBytes, this.#rows, slot * this.#rowBytes, this.#rowBytes);
  }

  /** Records the copy of the stream's to a row of `logits`. */
  copyBack(recorder: Recorder, slot: number, row: number): void {
    if (!this.#rows) throw new Error('raw logits: none were copied');
    recorder.copy(this.#rows, slot * this.#rowBytes, this.logits, row * this.#rowBytes, this.#rowBytes);
  }

  /** The stream's, as the last submission left them. Errors: `device_lost`. */
  async read(slot: number): Promise<Float32Array> {
    if (!this.#rows) throw new Error('raw logits: none were copied');
    const row = { buffer: this.#rows, offset: slot * this.#rowBytes, size: this.#rowBytes };
    return new Float32Array(await readOnce(this.device, 'raw logits', [row]));
  }
}
