import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import type { LayerPages } from '../cache/layer-pages.ts';
import type { DeltaNet } from '../config/model-config.ts';
import { createOperation, following, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { causalConvKernel, type DeltaSize } from '../kernels/delta-net/causal-conv.ts';
import { deltaRuleKernel } from '../kernels/delta-net/delta-rule.ts';
import { gatedNormKernel } from '../kernels/delta-net/gated-norm.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';
import { type LoraInputs, loraInputs } from './lora.ts';
import type { Norm } from './norm.ts';
import { NormedLinears } from './normed-linears.ts';
import { beforeSecondHalf, ResidualLinear, type SecondHalf } from './residual-linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface DeltaNetWeights {
  norm: Norm;
  /** One matrix for queries, keys and values, gates, and both numbers of each value head, or several where their types differ. */
  input: readonly WeightMatrix[];
  /** `[taps, convolved]`, the latest token's first. */
  taps: GPUBuffer;
  /** `[numValueHeads]` each. */
  decayRate: GPUBuffer;
  decayBias: GPUBuffer;
  /** `[headDim]` */
  headNorm: GPUBuffer;
  output: WeightMatrix;
}

/** What it reads and writes of the cache. */
export interface DeltaNetBuffers {
  /** States of texts. */
  pages: LayerPages;
  /** Which of them a stream's tokens read and leave; see `TextStates.show`. */
  places: GPUBuffer;
}

/** x += residualScale · Wout · gatedNorm(deltaRule(convolution(Win · norm(x)))). */
export class GatedDeltaNet {
  /** Of the linears that it begins with. */
  readonly reads: LoraInputs;
  readonly norm: Norm;
  /** It has states in place of pages. */
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
    this.#mix(); // compiled while the model is opened
    this.#normHeads = createOperation(device, gatedNormKernel(device, net, config.rmsNormEps), {
      x: qkv,
      norm_weight: headNorm,
      y: attended,
    });
    this.#output = new ResidualLinear(place, { group: 'deltaOutput', matrix: output, x: attended, y: x, adaptedY: x });
  }

  /** Makes ready for the adapters of these buffers, or for none. `mlp`: of the same layer. */
  attach(buffers: ArenaBuffers | undefined, mlp: SecondHalf): void {
    this.#input.attach(buffers);
    this.#output.attach(buffers, beforeSecondHalf(this.place, mlp));
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens, apart, behind } = batch;
    this.#input.record(recorder, batch);
    const size = { tokens, runTokens: apart ? 1 : tokens, behind };
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
