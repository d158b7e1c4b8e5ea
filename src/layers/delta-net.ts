import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import type { LayerPages } from '../cache/layer-pages.ts';
import type { DeltaNet } from '../config/model-config.ts';
import { createOperation, type Dispatcher, following, type Operation } from '../gpu/recorder.ts';
import { causalConvKernel, type DeltaSize, deltaRuleKernel, gatedNormKernel } from '../kernels/recurrent.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './activation-buffers.ts';
import { type LoraInputs, loraInputs } from './lora.ts';
import { beforeSecondHalf, type Norm, NormedLinears, ResidualLinear, type SecondHalf } from './linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

interface DeltaNetWeights {
  norm: Norm;
  /** Queries, keys and values, gates, and decay and beta of each value head: one matrix, or several if their types differ. */
  input: readonly WeightMatrix[];
  /** Convolution weights `[taps, convolved]`, the latest token's first. */
  taps: GPUBuffer;
  /** `[numValueHeads]` each. */
  decayRate: GPUBuffer;
  decayBias: GPUBuffer;
  /** `[headDim]` */
  headNorm: GPUBuffer;
  output: WeightMatrix;
}

/** Cache buffers of the layer. */
interface DeltaNetBuffers {
  /** Recurrent states. */
  pages: LayerPages;
  /** Offsets of the states that each sequence reads and writes; see `RecurrentStates.show`. */
  places: GPUBuffer;
}

/** x += residualScale · Wout · gatedNorm(deltaRule(convolution(Win · norm(x)))). */
export class GatedDeltaNet {
  /** LoRA inputs of its first linears. */
  readonly reads: LoraInputs;
  readonly norm: Norm;
  /** Recurrent state instead of pages. */
  readonly pageForms = undefined;
  readonly #input: NormedLinears;
  readonly #mix: () => readonly Operation<DeltaSize>[];
  readonly #normHeads: Operation<{ tokens: number }>;
  readonly #output: ResidualLinear;

  constructor(
    private readonly place: LayerPlace,
    private readonly net: DeltaNet,
    private readonly buffers: DeltaNetBuffers,
    private readonly weights: DeltaNetWeights,
  ) {
    const { device, config, activations } = place;
    const { x, qkv, attended } = activations;
    const { norm, input, output, headNorm } = weights;
    this.norm = norm;
    this.reads = loraInputs(config, 'deltaInput');
    this.#input = new NormedLinears(place, { group: 'deltaInput', matrices: input, norm, x, adaptedX: x, y: qkv });
    this.#mix = following([() => buffers.pages.buffer], () => this.#bind());
    this.#mix(); // compile while the model loads
    this.#normHeads = createOperation(device, gatedNormKernel(device, net, config.rmsNormEps), {
      x: qkv,
      norm_weight: headNorm,
      y: attended,
    });
    this.#output = new ResidualLinear(place, { group: 'deltaOutput', matrix: output, x: attended, y: x, adaptedY: x });
  }

  /** Binds the adapters' buffers, or none. `mlp`: the layer's second half. */
  attach(buffers: ArenaBuffers | undefined, mlp: SecondHalf): void {
    this.#input.attach(buffers);
    this.#output.attach(buffers, beforeSecondHalf(this.place, mlp));
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens, onePerSequence, tokensPastState: past = 0 } = batch;
    this.#input.record(recorder, batch);
    const size = { tokens, runTokens: onePerSequence ? 1 : tokens, past };
    for (const operation of this.#mix()) recorder.run(operation, operation.groups(size), size);
    recorder.run(this.#normHeads, this.#normHeads.groups(batch), { tokens });
    this.#output.record(recorder, batch);
  }

  #bind(): readonly Operation<DeltaSize>[] {
    const { place, net, buffers, weights } = this;
    const { device, activations } = place;
    const { batchTable, qkv, convolved, attended } = activations;
    const bounds = { batch_table: batchTable, places: buffers.places, state: buffers.pages.buffer };
    const { taps, decayRate, decayBias } = weights;
    return [
      createOperation(device, causalConvKernel(device, net), { ...bounds, x: qkv, taps, y: convolved }),
      createOperation(device, deltaRuleKernel(device, net), {
        ...bounds,
        x: convolved,
        decay_rate: decayRate,
        decay_bias: decayBias,
        y: attended,
      }),
    ];
  }
}
