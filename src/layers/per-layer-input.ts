import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Dispatcher, type Operation } from '../gpu/recorder.ts';
import { takeInputKernel } from '../kernels/element-wise.ts';
import type { Activations, LayerPlace } from './activation-buffers.ts';
import type { Batch, BatchShape } from './batch.ts';
import { beforeFirstHalf, type FirstHalf, Linear, Norm } from './linear.ts';
import type { LoraDelta } from './lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

interface LayerInputsWeights {
  /** `[numLayers perLayerInputs, hiddenSize]` */
  projection: WeightMatrix;
  /** `[perLayerInputs]` */
  norm: GPUBuffer;
}

/**
 * Per-layer inputs of a batch `[T, numLayers perLayerInputs]` = (row + norm(W · x / √hiddenSize)) / √2, from the tokens'
 * embeddings x and their rows of a matrix that stays off the GPU (Gemma 3n and 4).
 */
export class LayerInputs {
  readonly #projection: Linear;
  readonly #norm: Norm;

  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
    private readonly activations: Activations,
    { projection, norm }: LayerInputsWeights,
  ) {
    const { x, gateUp, layerInputs } = activations;
    this.#projection = new Linear(device, projection, { x, y: gateUp });
    this.#norm = new Norm(device, norm, config.rmsNormEps, { x: gateUp, output: layerInputs, accumulate: true });
  }

  /** Uploads the matrix rows of the batch's tokens. */
  write(rows: Float32Array<ArrayBuffer>): void {
    this.device.gpuDevice.queue.writeBuffer(this.activations.layerInputs, 0, rows);
  }

  /** Recorded directly after the batch's embedding, before the layers change x. */
  record(recorder: Dispatcher, { kind, tokens }: BatchShape): void {
    const { hiddenSize, numLayers } = this.config;
    this.#projection.record(recorder, { kind, tokens }, 1 / Math.sqrt(hiddenSize));
    this.#norm.record(recorder, tokens * numLayers, { scale: Math.SQRT1_2 });
  }
}

interface LayerInputWeights {
  /** `[perLayerInputs, hiddenSize]` */
  gate: WeightMatrix;
  /** `[hiddenSize, perLayerInputs]` */
  output: WeightMatrix;
  outputNorm: GPUBuffer;
  /** Scale of the residual stream after the layer. */
  scale: number;
}

/** x = scale · (x + norm(Wout · (activation(Wgate · x) · input))), after a layer's MLP. Adapters do not apply to it. */
export class LayerInput {
  readonly #gate: Linear;
  readonly #take: Operation<{ tokens: number }>;
  readonly #output: Linear;
  readonly #norm: Norm;
  /** A · norm(x) for the next layer's adapters, which in other models the MLP computes. */
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

  /** Binds the adapters' buffers, or none. `next`: the next layer's first half, if any. */
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
