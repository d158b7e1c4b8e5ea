import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import { type LinearName, linearShape, linearsOfGroup } from '../architectures/linears.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';
import { Linear } from './linear.ts';
import { LoraDelta, type LoraDeltaOptions, loraInputs, LoraLowering } from './lora.ts';
import { recordLora } from './unfused-lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface ResidualLinearOptions {
  group: 'output' | 'down';
  matrix: WeightMatrix;
  x: GPUBuffer;
  /** The residual stream; with adapters, where it lies when this group decodes. */
  y: GPUBuffer;
  adaptedY: GPUBuffer;
}

/** What comes after it in decoding, and so is lowered for at once; see `LoraDelta`. */
export type NextLinears = Pick<LoraDeltaOptions, 'y' | 'lowers' | 'normWeight' | 'isLast'> & { layer: number };

interface Form extends Record<Batch['kind'], Linear> {
  lora?: { lowering: LoraLowering; delta: LoraDelta };
}

/** A linear that adds to the residual stream, with its adapters: y += residualScale · (W + Σ B · A) · x. */
export class ResidualLinear {
  readonly #names: readonly LinearName[];
  readonly #plain: Form;
  #adapted: Form | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: ResidualLinearOptions,
  ) {
    this.#names = linearsOfGroup(options.group);
    this.#plain = this.#form();
  }

  /** Makes ready for the adapters of these buffers, or for none. */
  attach(buffers: ArenaBuffers | undefined, next: NextLinears): void {
    this.#adapted = buffers && this.#form({ buffers, next });
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { layer, config } = this.place;
    const { lora, ...form } = (batch.lora && this.#adapted) ?? this.#plain;
    if (batch.kind === 'prefill') {
      batch.tap?.(layer, this.#names, this.options.x);
      lora?.lowering.record(recorder, batch);
    }
    form[batch.kind].record(recorder, batch, config.residualScale);
    if (batch.kind === 'decode') lora?.delta.record(recorder, batch);
    recordLora(recorder, batch, layer, this.#names);
  }

  #form(adapters?: { buffers: ArenaBuffers; next: NextLinears }): Form {
    const { place, options } = this;
    const { device, layer, config } = place;
    const { group, matrix, x, y, adaptedY } = options;
    const inputs = loraInputs(config, group);
    const lora = adapters && { ...inputs, layer, buffers: adapters.buffers };
    const linear = (kind: Batch['kind'], to: GPUBuffer) => new Linear(device, matrix, { x, y: to, accumulate: true, kind, lora });
    const form = { decode: linear('decode', adapters ? adaptedY : y), prefill: linear('prefill', y) };
    if (!adapters) return form;
    const { buffers, next } = adapters;
    const [, columns] = linearShape(config, this.#names[0] as LinearName);
    return {
      ...form,
      lora: {
        lowering: new LoraLowering(place, { x, columns, inputs }, buffers),
        delta: new LoraDelta({ ...place, layer: next.layer }, { ...next, x: adaptedY, width: config.hiddenSize, adds: inputs, scale: config.residualScale }, buffers),
      },
    };
  }
}
