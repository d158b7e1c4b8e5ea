import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Dispatcher } from '../../gpu/recorder.ts';
import type { Activations } from '../activations.ts';
import type { BatchShape } from '../batch.ts';
import { Linear } from '../linear.ts';
import { Norm } from '../norm.ts';
import type { WeightMatrix } from '../weight-matrix.ts';

export interface LayerInputsWeights {
  /** `[numLayers perLayerInputs, hiddenSize]` */
  projection: WeightMatrix;
  /** `[perLayerInputs]` */
  norm: GPUBuffer;
}

/**
 * What all layers take in of a batch's tokens, `[T, numLayers perLayerInputs]`: of their rows of a matrix that stays off the
 * GPU, which are written there before, and of their embeddings: (row + norm(W · x / √hiddenSize)) / √2.
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

  /** `rows`: of the batch's tokens. */
  write(rows: Float32Array<ArrayBuffer>): void {
    this.device.gpuDevice.queue.writeBuffer(this.activations.layerInputs, 0, rows);
  }

  /** Behind the embedding of the batch, and before anything else changes x. */
  record(recorder: Dispatcher, { kind, tokens }: BatchShape): void {
    const { hiddenSize, numLayers } = this.config;
    this.#projection.record(recorder, { kind, tokens }, 1 / Math.sqrt(hiddenSize));
    this.#norm.record(recorder, tokens * numLayers, { scale: Math.SQRT1_2 });
  }
}
