import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import type { Activation } from '../config/activations.ts';
import type { Device } from '../gpu/device.ts';
import type { Kernel, Params } from '../gpu/kernel.ts';
import { type Bound, type BufferRange, createOperation, type Dispatcher, type Operation } from '../gpu/recorder.ts';
import { embedKernel, rmsNormKernel } from '../kernels/element-wise.ts';
import { biasStart, decodeKernel, type LinearDecodeSize, mostDecoded, tokensAtOnce } from '../kernels/linear-decode.ts';
import { prefillKernel } from '../kernels/linear-prefill.ts';
import type { Activations, LayerPlace } from './activation-buffers.ts';
import type { ActiveLora, Batch, BatchShape, PlainProduct } from './batch.ts';
import { LoraDelta, type LoraDeltaOptions, type LoraInputs, loraInputs, LoraLowering, loraParams } from './lora.ts';
import type { MatrixSlice, WeightMatrix } from './weight-matrix.ts';
import { type LinearName, linearShape, linearsOfGroup, placeInGroup } from '../architectures/linears.ts';

/** Token ids → x `[T, hiddenSize]`: embeddings times `scale`. */
export class Embedding {
  readonly #operations: (readonly [MatrixSlice, Operation<{ tokens: number }>])[];

  constructor(
    device: Device,
    matrix: WeightMatrix,
    scale: number,
    { batchTable, tokens, x }: Pick<Activations, 'batchTable' | 'tokens' | 'x'>,
  ) {
    const kernel = embedKernel(device, matrix.type, matrix.columns, scale);
    this.#operations = matrix.slices.map((slice) => [
      slice,
      createOperation(device, kernel, { ...slice.ranges, batch_table: batchTable, tokens, y: x }),
    ]);
  }

  record(recorder: Dispatcher, { tokens }: { tokens: number }): void {
    for (const [{ rowStart, rows }, operation] of this.#operations) {
      recorder.run(operation, operation.groups({ tokens }), { rowStart, rows });
    }
  }
}

interface NormBuffers {
  x: GPUBuffer;
  output: GPUBuffer;
  /** Adds to the output, as for the residual stream. */
  accumulate?: boolean;
}

/** RMS norm: x `[T, width]` → output `[T, width]`. */
export class Norm {
  readonly output: GPUBuffer;
  readonly #operation: Operation<{ tokens: number }>;

  constructor(
    device: Device,
    readonly weight: GPUBuffer,
    readonly eps: number,
    { x, output, accumulate }: NormBuffers,
  ) {
    this.output = output;
    const kernel = rmsNormKernel(device, weight.size / 4, eps, accumulate);
    this.#operation = createOperation(device, kernel, { x, norm_weight: weight, y: output });
  }

  /**
   * Normalizes `tokens` rows of x from `start` on into rows of the output from `to` on. `scale` multiplies the result, with
   * accumulate the sum.
   */
  record(
    recorder: Dispatcher,
    tokens: number,
    { start = 0, to = 0, scale = 1 }: { start?: number; to?: number; scale?: number } = {},
  ): void {
    recorder.run(this.#operation, this.#operation.groups({ tokens }), { start, tokens, to, scale });
  }
}

export interface LinearOptions {
  x: GPUBuffer;
  y: GPUBuffer;
  /** First row of `y` for this matrix, if several matrices fill one output; default 0. */
  outputStart?: number;
  /** Width of a row of `y`; default: the matrix's rows. */
  outputWidth?: number;
  /** Norm of x: fused into the kernel in decode; prefill reads the norm's output, recorded before. */
  norm?: Norm;
  /** Bias of the whole output `[outputWidth]`; with a norm, stored after its weights. */
  bias?: GPUBuffer;
  /** Adds to y, as for the residual stream. */
  accumulate?: boolean;
  /** Rows are gate, then up: y = activation(gate) · up. Decode only. */
  gate?: Activation;
  /** Kind of batch to compile kernels for; default: both. */
  kind?: Batch['kind'];
  /** Most tokens of a decode step; default: `mostDecoded`. */
  mostTokens?: number;
  /** Fused adapters: their inputs and buffers. */
  lora?: LoraInputs & { layer: number; buffers: ArenaBuffers };
}

type AtOnce = ReturnType<typeof tokensAtOnce>;

/**
 * y = W · norm(x) + bias (+ y), with one kernel each for decode and prefill. Adapters make W + Σ B · A of W. h = A · x is
 * computed beforehand after a norm and in prefill; otherwise decode computes it in the same dispatch, and `LoraDelta` adds
 * B · h afterwards.
 */
export class Linear {
  readonly #decodes = new Map<AtOnce, readonly Operation<LinearDecodeSize>[]>();
  #prefills: readonly Operation<{ rows: number; tokens: number }>[] | undefined;
  readonly #outputs: number;

  constructor(
    private readonly device: Device,
    private readonly matrix: WeightMatrix,
    private readonly options: LinearOptions,
  ) {
    this.#outputs = options.gate ? matrix.rows / 2 : matrix.rows;
    const { kind, mostTokens = mostDecoded(device) } = options;
    // All kernels compile now, so that no step has to wait for one.
    if (kind !== 'prefill')
      for (let tokens = 1; tokens <= mostTokens; tokens++) this.#decode(tokensAtOnce(device, tokens));
    if (kind !== 'decode') this.#prefill();
  }

  /** `scale` multiplies the product, before the bias. */
  record(recorder: Dispatcher, batch: BatchShape, scale = 1): void {
    const { outputStart = 0, outputWidth = this.#outputs, lora } = this.options;
    const { tokens } = batch;
    const ofSlice = ({ rowStart, rows }: MatrixSlice): Params => ({
      ...{ rowStart: outputStart + rowStart, rows, scale, tokens, outputWidth },
      ...(lora && loraParams(this.device, batch, lora.layer)),
    });
    if (batch.kind === 'decode') this.#recordDecode(recorder, tokens, ofSlice);
    else this.#recordPrefill(recorder, tokens, ofSlice);
  }

  #recordDecode(recorder: Dispatcher, tokens: number, ofSlice: (slice: MatrixSlice) => Params): void {
    const { lora, norm, gate } = this.options;
    const atOnce = tokensAtOnce(this.device, tokens);
    const operations = this.#decode(atOnce);
    this.matrix.slices.forEach((slice, i) => {
      const operation = operations[i] as Operation<LinearDecodeSize>;
      const params = ofSlice(slice);
      const [groups, runs] = operation.groups({ outputs: gate ? slice.rows / 2 : slice.rows, tokens });
      // Only the first slice's dispatch computes A · x.
      const riding =
        lora && !norm && i === 0 ? (params.adapters ?? 0) * (params.runs ?? 0) * lora.site.widths.length : 0;
      recorder.run(operation, [groups + riding * Math.min(tokens, atOnce), runs], { ...params, groups });
    });
  }

  #recordPrefill(recorder: Dispatcher, tokens: number, ofSlice: (slice: MatrixSlice) => Params): void {
    const operations = this.#prefill();
    this.matrix.slices.forEach((slice, i) => {
      const operation = operations[i] as Operation<{ rows: number; tokens: number }>;
      recorder.run(operation, operation.groups({ rows: slice.rows, tokens }), ofSlice(slice));
    });
  }

  #decode(tokens: AtOnce): readonly Operation<LinearDecodeSize>[] {
    const known = this.#decodes.get(tokens);
    if (known) return known;
    const { type, columns } = this.matrix;
    const { x, norm, bias, accumulate, gate, lora } = this.options;
    const low = lora && lora.buffers[lora.low];
    const kernel = decodeKernel(this.device, {
      ...{ type, columns, normEps: norm?.eps, accumulate, gate, hasBias: bias !== undefined, tokens },
      ...(lora && (norm ? { adds: lora.site } : { lowers: lora.site })),
    });
    const bounds = {
      x,
      ...(norm && { norm_weight: bias ?? norm.weight }),
      ...(bias && !norm && { bias_values: bias }),
      ...(low && { [norm ? 'low' : 'low_next']: low }),
    };
    const made = this.#onEverySlice(kernel, bounds);
    this.#decodes.set(tokens, made);
    return made;
  }

  #prefill(): readonly Operation<{ rows: number; tokens: number }>[] {
    const { type, columns } = this.matrix;
    const { x, norm, bias, accumulate, lora } = this.options;
    return (this.#prefills ??= this.#onEverySlice(
      prefillKernel(this.device, { type, columns, accumulate, hasBias: bias !== undefined, adds: lora?.site }),
      {
        x: norm?.output ?? x,
        ...(bias && { bias_values: norm ? rangeFrom(bias, biasStart(columns) * 4) : bias }),
        ...(lora && { low: lora.buffers[lora.low] }),
      },
    ));
  }

  #onEverySlice<Size>(kernel: Kernel<Size>, bounds: Record<string, Bound>): readonly Operation<Size>[] {
    const { y, lora } = this.options;
    return this.matrix.slices.map(({ ranges }) =>
      createOperation(this.device, kernel, {
        ...ranges,
        ...bounds,
        ...(lora && { lora: lora.buffers.lora, counters: lora.buffers.counters }),
        y,
      }),
    );
  }
}

/** The range of a buffer from byte `offset` on. */
const rangeFrom = (buffer: GPUBuffer, offset: number): BufferRange => ({ buffer, offset, size: buffer.size - offset });

/** Linears whose outputs follow one another in the rows of y; the rows may be wider. */
export function linearsOf(
  device: Device,
  matrices: readonly WeightMatrix[],
  { outputWidth = matrices.reduce((sum, { rows }) => sum + rows, 0), ...options }: Omit<LinearOptions, 'outputStart'>,
): Linear[] {
  let outputStart = 0;
  return matrices.map((matrix) => {
    const linear = new Linear(device, matrix, { ...options, outputWidth, outputStart });
    outputStart += matrix.rows;
    return linear;
  });
}

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
