import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import type { LayerPages } from '../cache/layer-pages.ts';
import { createOperation, following, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { shortConvKernel } from '../kernels/short-conv.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';
import { type LoraInputs, loraInputs } from './lora.ts';
import type { Norm } from './norm.ts';
import { NormedLinears } from './normed-linears.ts';
import { beforeSecondHalf, ResidualLinear, type SecondHalf } from './residual-linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface ShortConvWeights {
  norm: Norm;
  input: WeightMatrix;
  /** `[taps, hiddenSize]`, the latest token's first. */
  taps: GPUBuffer;
  output: WeightMatrix;
}

/** What it reads and writes of the cache. */
export interface ShortConvBuffers {
  /** What it took in of the latest tokens. */
  pages: LayerPages;
  /** Entries of the pages of sequences, a region for each stream. */
  table: GPUBuffer;
}

/** x += residualScale · Wout · (C · convolution(B · u)), where B, C and u are Win · norm(x). */
export class ShortConv {
  /** Of the linears that it begins with. */
  readonly reads: LoraInputs;
  readonly norm: Norm;
  /** Its pages lie in one form alone. */
  readonly pageForms = undefined;
  readonly #input: NormedLinears;
  readonly #convolve: () => Operation<{ tokens: number }>;
  readonly #output: ResidualLinear;

  constructor(
    private readonly place: LayerPlace,
    private readonly buffers: ShortConvBuffers,
    private readonly weights: ShortConvWeights,
  ) {
    const { x, qkv, attended } = place.activations;
    const { norm, input, output } = weights;
    this.norm = norm;
    this.reads = loraInputs(place.config, 'convInput');
    this.#input = new NormedLinears(place, { group: 'convInput', matrices: [input], norm, x, adaptedX: x, y: qkv });
    this.#convolve = following([() => buffers.pages.buffer], () => this.#bind());
    this.#convolve(); // compiled while the model is opened
    this.#output = new ResidualLinear(place, { group: 'convOutput', matrix: output, x: attended, y: x, adaptedY: x });
  }

  /** Makes ready for the adapters of these buffers, or for none. `mlp`: of the same layer. */
  attach(buffers: ArenaBuffers | undefined, mlp: SecondHalf): void {
    this.#input.attach(buffers);
    this.#output.attach(buffers, beforeSecondHalf(this.place, mlp));
  }

  record(recorder: Dispatcher, batch: Batch): void {
    this.#input.record(recorder, batch);
    const convolve = this.#convolve();
    recorder.run(convolve, convolve.groups(batch));
    this.#output.record(recorder, batch);
  }

  #bind(): Operation<{ tokens: number }> {
    const { device, config, activations } = this.place;
    const { batchTable, qkv, attended } = activations;
    const { pages, table } = this.buffers;
    const { taps } = this.weights;
    const kernel = shortConvKernel(device, config.hiddenSize, taps.size / 4 / config.hiddenSize);
    return createOperation(device, kernel, {
      batch_table: batchTable,
      pages: table,
      x: qkv,
      taps,
      state: pages.buffer,
      y: attended,
    });
  }
}
