import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import { type LinearName, linearShape, linearsOfGroup } from '../architectures/linears.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';
import { Linear } from './linear.ts';
import { LoraDelta, type LoraDeltaOptions, type LoraInputs, loraInputs, LoraLowering } from './lora.ts';
import { Norm } from './norm.ts';
import { recordLora } from './unfused-lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface ResidualLinearOptions {
  group: 'output' | 'down' | 'convOutput' | 'deltaOutput';
  matrix: WeightMatrix;
  x: GPUBuffer;
  /** The residual stream; with adapters, where it lies when this group decodes. */
  y: GPUBuffer;
  adaptedY: GPUBuffer;
  /** Weights of the norm that the product goes through first, in models that have one. */
  postNorm?: GPUBuffer | undefined;
}

/** What comes after it in decoding, and so is lowered for at once; see `LoraDelta`. */
export type NextLinears = Pick<LoraDeltaOptions, 'y' | 'lowers' | 'normWeight' | 'isLast'> & { layer: number };

/** A layer's first half: its norm, and the linears that read it. */
export interface FirstHalf {
  norm: Norm;
  reads: LoraInputs;
}

/** What computes A · norm(x) for a layer's first half, where nothing before it does: in decoding. `place`: of that layer. */
export const beforeFirstHalf = (place: LayerPlace, { norm, reads }: FirstHalf, buffers: ArenaBuffers): LoraDelta => {
  const { x, between } = place.activations;
  return new LoraDelta(
    place,
    { x, y: between, width: place.config.hiddenSize, lowers: reads, normWeight: norm.weight },
    buffers,
  );
};

/** A layer's second half: its norm, and whether adapters change it. */
export interface SecondHalf {
  norm: Norm;
  isAdapted: boolean;
}

/** What comes after a layer's first half. A token being decoded goes on in `between`; in x, where it was normed. */
export const beforeSecondHalf = (
  { layer, config, activations }: LayerPlace,
  { norm, isAdapted }: SecondHalf,
): NextLinears => ({
  ...{
    y: activations.between,
    lowers: loraInputs(config, 'gateUp'),
    normWeight: norm.weight,
    layer,
    isLast: !isAdapted,
  },
});

interface Form extends Record<Batch['kind'], Linear> {
  /** `lowers`: for what comes after, where a norm stands between. */
  lora?: { lowering: LoraLowering; delta: LoraDelta; lowers?: LoraDelta };
  /** Of a prefill, and of tokens being decoded. */
  postNorms?: Record<Batch['kind'], Norm>;
}

/**
 * A linear that adds to the residual stream, with its adapters: y += norm(residualScale · (W + Σ B · A) · x). Where there is
 * such a norm the product lies in `normed` meanwhile, or with what adapters add in decoding in `between`.
 */
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
    const { lora, postNorms, ...form } = (batch.lora && this.#adapted) ?? this.#plain;
    if (batch.kind === 'prefill') {
      batch.tap?.(layer, this.#names, this.options.x);
      lora?.lowering.record(recorder, batch);
    }
    form[batch.kind].record(recorder, batch, config.residualScale);
    if (batch.kind === 'decode') lora?.delta.record(recorder, batch);
    recordLora(recorder, batch, layer, this.#names);
    postNorms?.[batch.kind].record(recorder, batch.tokens);
    if (batch.kind === 'decode') lora?.lowers?.record(recorder, batch);
  }

  #form(adapters?: { buffers: ArenaBuffers; next: NextLinears }): Form {
    const { place, options } = this;
    const { device, layer, config, activations } = place;
    const { group, matrix, x, y, adaptedY, postNorm } = options;
    const { normed, between } = activations;
    const inputs = loraInputs(config, group);
    const lora = adapters && { ...inputs, layer, buffers: adapters.buffers };
    const linear = (kind: Batch['kind'], to: GPUBuffer) =>
      new Linear(device, matrix, { x, y: postNorm ? normed : to, accumulate: !postNorm, kind, lora });
    const norm = (from: GPUBuffer) =>
      postNorm && new Norm(device, postNorm, config.rmsNormEps, { x: from, output: y, accumulate: true });
    const [ofPrefill, ofDecode] = [norm(normed), norm(adapters ? between : normed)];
    const form = {
      ...{ decode: linear('decode', adapters ? adaptedY : y), prefill: linear('prefill', y) },
      ...(ofPrefill && ofDecode && { postNorms: { prefill: ofPrefill, decode: ofDecode } }),
    };
    if (!adapters) return form;
    const { buffers, next } = adapters;
    const [, columns] = linearShape(config, this.#names[0] as LinearName);
    const delta = (changes: Partial<LoraDeltaOptions>) =>
      new LoraDelta(
        { ...place, layer: next.layer },
        { ...next, x: adaptedY, width: config.hiddenSize, ...changes },
        buffers,
      );
    const adds = { adds: inputs, scale: config.residualScale };
    return {
      ...form,
      lora: {
        lowering: new LoraLowering(place, { x, columns, inputs }, buffers),
        delta: delta(postNorm ? { ...adds, x: normed, y: between, isLast: true } : adds),
        ...(postNorm && !next.isLast && { lowers: delta({ x: y, y: between }) }),
      },
    };
  }
}
