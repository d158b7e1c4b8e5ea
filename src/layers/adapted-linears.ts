import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import { type LinearName, linearShape, linearsOfGroup, placeInGroup } from '../architectures/linears.ts';
import type { Device } from '../gpu/device.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { LayerPlace } from './activations.ts';
import type { ActiveLora, Batch, BatchShape, PlainProduct } from './batch.ts';
import { Linear, linearsOf, Norm } from './linear.ts';
import { LoraDelta, type LoraDeltaOptions, loraInputs, type LoraInputs, LoraLowering } from './lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

/** An unfused adapter's products in one layer. */
export type LoraLayer = Partial<Record<LinearName, LoraProduct>>;

export interface LoraBuffers {
  x: GPUBuffer;
  y: GPUBuffer;
  /** A · x `[T, rank]`. */
  low: GPUBuffer;
  /** The base linear's first row of y, the width of y, and the norm of its input. */
  outputStart?: number;
  outputWidth: number;
  norm?: Norm;
}

/** Unfused LoRA (arXiv 2106.09685): y += scale · B · (A · norm(x)), as two linears after the base's. */
export class LoraProduct implements PlainProduct {
  readonly #a: Linear;
  readonly #b: Linear;

  /** `a [rank, in]`, `b [out, rank]`; b's rank is padded with zeros to a multiple of 32. */
  constructor(
    device: Device,
    a: WeightMatrix,
    b: WeightMatrix,
    buffers: LoraBuffers,
    private readonly scale: number,
  ) {
    const { x, y, low, outputStart, outputWidth, norm } = buffers;
    this.#a = new Linear(device, a, { x, y: low, outputWidth: b.columns, norm });
    this.#b = new Linear(device, b, { x: low, y, outputStart, outputWidth, accumulate: true });
  }

  record(recorder: Dispatcher, batch: BatchShape, scale: number): void {
    this.#a.record(recorder, batch);
    this.#b.record(recorder, batch, this.scale * scale);
  }
}

/** Records the unfused adapters' products for these linears of a layer. */
function recordLora(recorder: Dispatcher, batch: Batch, layer: number, modules: readonly LinearName[]): void {
  for (const { layers, scale } of batch.unfusedLoras ?? []) {
    for (const module of modules) layers[layer]?.[module]?.record(recorder, batch, scale);
  }
}

/** Whether one of `loras` changes one of these linears of a layer. */
export const changes = (loras: readonly ActiveLora[], layer: number, modules: readonly LinearName[]): boolean =>
  loras.some(({ layers }) => modules.some((module) => layers[layer]?.[module] !== undefined));

export interface NormedLinearsOptions {
  group: 'qkv' | 'gateUp' | 'convInput' | 'deltaInput';
  /** The group's linears stacked in one matrix, or several if their types differ. */
  matrices: readonly WeightMatrix[];
  norm: Norm;
  /** The residual stream; `adapted…`: its buffer in decode with adapters. */
  x: GPUBuffer;
  adaptedX: GPUBuffer;
  y: GPUBuffer;
  /** The norm's weights, then the biases of all outputs. */
  bias?: GPUBuffer;
}

type NormedForm = Record<Batch['kind'], readonly Linear[]> & { lowering?: LoraLowering };

/** The linears that read the normed residual stream together, with their adapters: y = (W + Σ B · A) · norm(x) + bias. */
export class NormedLinears {
  readonly names: readonly LinearName[];
  readonly #plain: NormedForm;
  #adapted: NormedForm | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: NormedLinearsOptions,
  ) {
    this.names = linearsOfGroup(options.group);
    this.#plain = this.#form();
  }

  /** Binds the adapters' buffers, or none. */
  attach(buffers: ArenaBuffers | undefined): void {
    this.#adapted = buffers && this.#form(buffers);
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { norm } = this.options;
    const { layer } = this.place;
    const form = (batch.lora && this.#adapted) ?? this.#plain;
    if (batch.kind === 'prefill') {
      norm.record(recorder, batch.tokens);
      batch.onLinearInput?.(layer, this.names, norm.output);
      form.lowering?.record(recorder, batch);
    }
    for (const linear of form[batch.kind]) linear.record(recorder, batch);
    recordLora(recorder, batch, layer, this.names);
  }

  #form(buffers?: ArenaBuffers): NormedForm {
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

interface ResidualLinearOptions {
  group: 'output' | 'down' | 'convOutput' | 'deltaOutput';
  matrix: WeightMatrix;
  x: GPUBuffer;
  /** The residual stream; `adapted…`: its buffer in decode with adapters. */
  y: GPUBuffer;
  adaptedY: GPUBuffer;
  /** Weights of the norm applied to the product, in models that have one. */
  postNorm?: GPUBuffer | undefined;
}

/** The linears that follow in decode, whose A · x is computed early; see `LoraDelta`. */
type NextLinears = Pick<LoraDeltaOptions, 'y' | 'lowers' | 'normWeight' | 'isLast'> & { layer: number };

/** A layer's first half: its norm, and the LoRA inputs of the linears that read it. */
export interface FirstHalf {
  norm: Norm;
  reads: LoraInputs;
}

/** Computes A · norm(x) for a layer's first half in decode, if no earlier dispatch does. `place`: that layer's. */
export const beforeFirstHalf = (place: LayerPlace, { norm, reads }: FirstHalf, buffers: ArenaBuffers): LoraDelta => {
  const { x, between } = place.activations;
  return new LoraDelta(
    place,
    { x, y: between, width: place.config.hiddenSize, lowers: reads, normWeight: norm.weight },
    buffers,
  );
};

/** A layer's second half: its norm, and whether adapters apply to it. */
export interface SecondHalf {
  norm: Norm;
  isAdapted: boolean;
}

/** The linears after a layer's first half. In decode the residual stream moves to `between`. */
export const beforeSecondHalf = (
  { layer, config, activations }: LayerPlace,
  { norm, isAdapted }: SecondHalf,
): NextLinears => ({
  y: activations.between,
  lowers: loraInputs(config, 'gateUp'),
  normWeight: norm.weight,
  layer,
  isLast: !isAdapted,
});

interface ResidualForm extends Record<Batch['kind'], Linear> {
  /** `lowers`: A · x for the following linears, if a norm comes between. */
  lora?: { lowering: LoraLowering; delta: LoraDelta; lowers?: LoraDelta };
  /** Norms of the product, by kind of batch. */
  postNorms?: Record<Batch['kind'], Norm>;
}

/**
 * A linear that adds to the residual stream, with its adapters: y += norm(residualScale · (W + Σ B · A) · x). With the norm,
 * the product is kept in `normed`, and in decode its sum with the adapters' output in `between`.
 */
export class ResidualLinear {
  readonly #names: readonly LinearName[];
  readonly #plain: ResidualForm;
  #adapted: ResidualForm | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: ResidualLinearOptions,
  ) {
    this.#names = linearsOfGroup(options.group);
    this.#plain = this.#form();
  }

  /** Binds the adapters' buffers, or none. */
  attach(buffers: ArenaBuffers | undefined, next: NextLinears): void {
    this.#adapted = buffers && this.#form({ buffers, next });
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { layer, config } = this.place;
    const { lora, postNorms, ...form } = (batch.lora && this.#adapted) ?? this.#plain;
    if (batch.kind === 'prefill') {
      batch.onLinearInput?.(layer, this.#names, this.options.x);
      lora?.lowering.record(recorder, batch);
    }
    form[batch.kind].record(recorder, batch, config.residualScale);
    if (batch.kind === 'decode') lora?.delta.record(recorder, batch);
    recordLora(recorder, batch, layer, this.#names);
    postNorms?.[batch.kind].record(recorder, batch.tokens);
    if (batch.kind === 'decode') lora?.lowers?.record(recorder, batch);
  }

  #form(adapters?: { buffers: ArenaBuffers; next: NextLinears }): ResidualForm {
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
