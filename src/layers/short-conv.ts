import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import type { LayerPages } from '../cache/layer-pages.ts';
import { createOperation, type Dispatcher, following, type Operation } from '../gpu/recorder.ts';
import { shortConvKernel } from '../kernels/recurrent.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './activation-buffers.ts';
import { type LoraInputs, loraInputs } from './lora.ts';
import { beforeSecondHalf, type Norm, NormedLinears, ResidualLinear, type SecondHalf } from './linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

interface ShortConvWeights {
  norm: Norm;
  input: WeightMatrix;
  /** Convolution weights `[taps, hiddenSize]`, the latest token's first. */
  taps: GPUBuffer;
  output: WeightMatrix;
}

/** Cache buffers of the layer. */
interface ShortConvBuffers {
  /** Inputs of the latest tokens. */
  pages: LayerPages;
  /** Page table, with a region per sequence slot. */
  table: GPUBuffer;
}

/** x += residualScale · Wout · (C · convolution(B · u)), where B, C and u are Win · norm(x). */
export class ShortConv {
  /** LoRA inputs of its first linears. */
  readonly reads: LoraInputs;
  readonly norm: Norm;
  /** Its pages have only one form. */
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
    this.#convolve(); // compile while the model loads
    this.#output = new ResidualLinear(place, { group: 'convOutput', matrix: output, x: attended, y: x, adaptedY: x });
  }

  /** Binds the adapters' buffers, or none. `mlp`: the layer's second half. */
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
