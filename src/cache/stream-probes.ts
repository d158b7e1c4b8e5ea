import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PROBES, probeFloats } from '../kernels/probe-page.ts';

/** Of one stream and layer. */
export const probeBytes = ({ numHeads, headDim }: Pick<ModelConfig, 'numHeads' | 'headDim'>): number =>
  PROBES * numHeads * probeFloats(headDim) * 4;

/** What the latest queries of each stream that was ever used were and found, by layer; see probe-page.ts. */
export class StreamProbes {
  #buffers: GPUBuffer[];
  #streams = 1;

  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
  ) {
    this.#buffers = this.#create();
  }

  /** Another one once there is room for another stream. */
  buffer(layer: number): GPUBuffer {
    return this.#buffers[layer] as GPUBuffer;
  }

  /** Makes room for a stream. Nothing may be recorded. */
  use(slot: number): void {
    if (slot < this.#streams) return;
    this.device.buffers.expectNoneRecorded('probes');
    const former = this.#buffers;
    const encoder = this.device.gpuDevice.createCommandEncoder();
    this.#streams = slot + 1;
    this.#buffers = this.#create();
    former.forEach((buffer, layer) => encoder.copyBufferToBuffer(buffer, 0, this.buffer(layer), 0, buffer.size));
    this.device.gpuDevice.queue.submit([encoder.finish()]);
    for (const buffer of former) this.device.buffers.destroy(buffer);
  }

  #create(): GPUBuffer[] {
    const bytes = this.#streams * probeBytes(this.config);
    return Array.from({ length: this.config.numLayers }, (_, layer) =>
      this.device.buffers.storage(`probes ${layer}`, 'kv', bytes),
    );
  }
}
