import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { siluMulKernel } from '../kernels/silu-mul.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';
import { Linear } from './linear.ts';
import { loraInputs } from './lora.ts';
import { NormedLinears, type NormedLinearsOptions } from './normed-linears.ts';
import { changes } from './unfused-lora.ts';

/** gate, up and their product: y = activation(Wgate · norm(x)) · (Wup · norm(x)). In decoding one dispatch, where the two have one matrix. */
export class GatedLinears {
  readonly #apart: NormedLinears;
  readonly #siluMul: Operation<{ tokens: number }>;
  readonly #fused: Linear | undefined;
  #adaptedFused: Linear | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: Omit<NormedLinearsOptions, 'group' | 'y'>,
  ) {
    const { device, config, activations } = place;
    const { gateUp, gated } = activations;
    this.#apart = new NormedLinears(place, { ...options, group: 'gateUp', y: gateUp });
    this.#siluMul = createOperation(device, siluMulKernel(device, config.intermediateSize, config.activation), {
      x: gateUp,
      y: gated,
    });
    this.#fused = this.#fuse(options.x);
  }

  /** Makes ready for the adapters of these buffers, or for none. */
  attach(buffers: ArenaBuffers | undefined): void {
    this.#apart.attach(buffers);
    this.#adaptedFused = buffers && this.#fuse(this.options.adaptedX, buffers);
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens, kind, loras } = batch;
    const fused = batch.lora ? this.#adaptedFused : this.#fused;
    // The product cannot be made before an adapter's plain form has changed the two.
    if (fused && kind === 'decode' && !changes(loras, this.place.layer, this.#apart.names))
      return fused.record(recorder, batch);
    this.#apart.record(recorder, batch);
    recorder.run(this.#siluMul, this.#siluMul.groups({ tokens }));
  }

  #fuse(x: GPUBuffer, buffers?: ArenaBuffers): Linear | undefined {
    const { device, layer, config, activations } = this.place;
    const { norm, matrices } = this.options;
    const [matrix, ...others] = matrices;
    if (!matrix || others.length > 0 || matrix.slices.length > 1) return undefined;
    const lora = buffers && { ...loraInputs(config, 'gateUp'), layer, buffers };
    return new Linear(device, matrix, { x, y: activations.gated, norm, gate: config.activation, kind: 'decode', lora });
  }
}
