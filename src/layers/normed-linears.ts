import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import { type LinearName, linearsOfGroup, placeInGroup } from '../architectures/linears.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { Batch } from './batch.ts';
import { type Linear, linearsOf } from './linear.ts';
import { loraInputs, LoraLowering } from './lora.ts';
import type { Norm } from './norm.ts';
import type { LayerPlace } from './layer-place.ts';
import { recordLora } from './unfused-lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface NormedLinearsOptions {
  group: 'qkv' | 'gateUp' | 'convInput' | 'deltaInput';
  /** One matrix, its linears one below the other, or several where their types differ. */
  matrices: readonly WeightMatrix[];
  norm: Norm;
  /** The residual stream; with adapters, where it lies when this group decodes. */
  x: GPUBuffer;
  adaptedX: GPUBuffer;
  y: GPUBuffer;
  /** Of all outputs, one after another, behind the norm's weights (`behindNorm`). */
  bias?: GPUBuffer;
}

type Form = Record<Batch['kind'], readonly Linear[]> & { lowering?: LoraLowering };

/** The linears that read the normed residual stream side by side, with their adapters: y = (W + Σ B · A) · norm(x) + bias. */
export class NormedLinears {
  readonly names: readonly LinearName[];
  readonly #plain: Form;
  #adapted: Form | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: NormedLinearsOptions,
  ) {
    this.names = linearsOfGroup(options.group);
    this.#plain = this.#form();
  }

  /** Makes ready for the adapters of these buffers, or for none. */
  attach(buffers: ArenaBuffers | undefined): void {
    this.#adapted = buffers && this.#form(buffers);
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { norm } = this.options;
    const { layer } = this.place;
    const form = (batch.lora && this.#adapted) ?? this.#plain;
    if (batch.kind === 'prefill') {
      norm.record(recorder, batch.tokens);
      batch.tap?.(layer, this.names, norm.output);
      form.lowering?.record(recorder, batch);
    }
    for (const linear of form[batch.kind]) linear.record(recorder, batch);
    recordLora(recorder, batch, layer, this.names);
  }

  #form(buffers?: ArenaBuffers): Form {
    const { place, options } = this;
    const { device, layer, config } = place;
    const { group, matrices, norm, x, adaptedX, y, bias } = options;
    const inputs = loraInputs(config, group);
    const { outputWidth } = placeInGroup(config, this.names[0] as LinearName);
    const lora = buffers && { ...inputs, layer, buffers };
    const linears = (kind: Batch['kind'], from: GPUBuffer) =>
      linearsOf(device, matrices, { x: from, y, norm, bias, kind, lora, outputWidth });
    const form = { decode: linears('decode', buffers ? adaptedX : x), prefill: linears('prefill', x) };
    return buffers
      ? { ...form, lowering: new LoraLowering(place, { x: norm.output, columns: config.hiddenSize, inputs }, buffers) }
      : form;
  }
}
