import type { ArenaBuffers } from '../../adapters/arena/adapter-arena.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import type { Dispatcher } from '../../gpu/recorder.ts';
import { takeInputKernel } from '../../kernels/gemma/take-input.ts';
import type { Batch } from '../batch.ts';
import type { LayerPlace } from '../layer-place.ts';
import { Linear } from '../linear.ts';
import type { LoraDelta } from '../lora.ts';
import { Norm } from '../norm.ts';
import { beforeFirstHalf, type FirstHalf } from '../residual-linear.ts';
import type { WeightMatrix } from '../weight-matrix.ts';

export interface LayerInputWeights {
  /** `[perLayerInputs, hiddenSize]` */
  gate: WeightMatrix;
  /** `[hiddenSize, perLayerInputs]` */
  output: WeightMatrix;
  outputNorm: GPUBuffer;
  /** Of the residual stream behind the layer. */
  scale: number;
}

/** x = scale · (x + norm(Wout · (activation(Wgate · x) · input))), behind a layer's MLP. Adapters do not change it. */
export class LayerInput {
  readonly #gate: Linear;
  readonly #take: Operation<{ tokens: number }>;
  readonly #output: Linear;
  readonly #norm: Norm;
  /** Of the next layer's adapters: A · norm(x), which the MLP would leave else. */
  #lowers: LoraDelta | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly weights: LayerInputWeights,
  ) {
    const { device, config, activations } = place;
    const { x, gated, normed, layerInputs } = activations;
    const { perLayerInputs: width = 0, numLayers, activation, rmsNormEps } = config;
    this.#gate = new Linear(device, weights.gate, { x, y: gated });
    this.#take = createOperation(device, takeInputKernel(device, width, numLayers, activation), {
      x: gated,
      inputs: layerInputs,
    });
    this.#output = new Linear(device, weights.output, { x: gated, y: normed });
    this.#norm = new Norm(device, weights.outputNorm, rmsNormEps, { x: normed, output: x, accumulate: true });
  }

  /** Makes ready for the adapters of these buffers, or for none. `next`: what the next layer begins with, if any. */
  attach(buffers: ArenaBuffers | undefined, next: FirstHalf | undefined): void {
    const { place } = this;
    this.#lowers = buffers && next && beforeFirstHalf({ ...place, layer: place.layer + 1 }, next, buffers);
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { kind, tokens, lora } = batch;
    const { layer, config } = this.place;
    this.#gate.record(recorder, { kind, tokens });
    recorder.run(this.#take, this.#take.groups({ tokens }), { start4: (layer * (config.perLayerInputs ?? 0)) / 4 });
    this.#output.record(recorder, { kind, tokens });
    this.#norm.record(recorder, tokens, { scale: this.weights.scale });
    if (lora && kind === 'decode') this.#lowers?.record(recorder, batch);
  }
}
