import type { BertConfig } from '../config/encoder-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { activateKernel } from '../kernels/encoder/activate.ts';
import { addPositionsKernel } from '../kernels/encoder/add-positions.ts';
import { attentionTextsKernel } from '../kernels/encoder/attention-texts.ts';
import { layerNormKernel } from '../kernels/encoder/layer-norm.ts';
import { poolTextsKernel } from '../kernels/encoder/pool-texts.ts';
import { Embedding } from '../layers/embedding.ts';
import { type Linear, linearsOf } from '../layers/linear.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import type { Classifier } from './classifier.ts';
import type { TextActivations, TextEncoder } from './text-encoder.ts';

/** Matrices with their bias; several where types differ, one below the other. */
export interface BiasedWeights {
  matrices: readonly WeightMatrix[];
  bias: GPUBuffer;
}

export interface LayerNormWeights {
  weight: GPUBuffer;
  bias: GPUBuffer;
}

export interface EncoderWeights {
  embeddings: WeightMatrix;
  /** Of each segment all positions, `[numSegments, contextLength, hiddenSize]`. */
  positions: GPUBuffer;
  embeddingNorm: LayerNormWeights;
  layers: readonly {
    qkv: BiasedWeights;
    attentionOutput: BiasedWeights;
    attentionNorm: LayerNormWeights;
    up: BiasedWeights;
    down: BiasedWeights;
    outputNorm: LayerNormWeights;
  }[];
  /** Of a cross-encoder. */
  classifier: Classifier | undefined;
}

/** Every intermediate of the forward pass, for a batch's T tokens of at most T texts; all are f32. */
export interface EncoderActivations extends TextActivations {
  /** `[T, hiddenSize]` */
  x: GPUBuffer;
  /** `[T, 3 hiddenSize]` */
  qkv: GPUBuffer;
  /** `[T, hiddenSize]` */
  attended: GPUBuffer;
  /** `[T, intermediateSize]` */
  wide: GPUBuffer;
}

/** Bytes of each; `batchTokens` is a multiple of the prefill tile. */
export function encoderActivationBytes(
  { hiddenSize, intermediateSize }: BertConfig,
  batchTokens: number,
): Record<keyof EncoderActivations, number> {
  const rows = (width: number): number => batchTokens * width * 4;
  return {
    ...{ tokens: rows(1), batchTable: rows(4), spans: rows(2), x: rows(hiddenSize), qkv: rows(3 * hiddenSize) },
    ...{ attended: rows(hiddenSize), wide: rows(intermediateSize), pooled: rows(hiddenSize) },
  };
}

/** A layer's dispatches, in order. */
interface Layer {
  qkv: readonly Linear[];
  attention: Operation<{ tokens: number }>;
  /** x += W · attended + bias */
  attentionOutput: readonly Linear[];
  attentionNorm: Operation<{ tokens: number }>;
  up: readonly Linear[];
  activate: Operation<{ tokens: number }>;
  /** x += W · activation(wide) + bias */
  down: readonly Linear[];
  outputNorm: Operation<{ tokens: number }>;
}

/**
 * An encoder (BERT, arXiv 1810.04805) on the GPU. Its norms come behind what is added: x = norm(x + attention(x)), then
 * x = norm(x + mlp(x)). A batch has whole texts, one behind the other, each of which attends to itself alone.
 */
export class Encoder implements TextEncoder {
  readonly activations: EncoderActivations;
  readonly classifier: Classifier | undefined;
  readonly #embedding: Embedding;
  readonly #positions: Operation<{ tokens: number }>;
  readonly #embeddingNorm: Operation<{ tokens: number }>;
  readonly #layers: readonly Layer[];
  readonly #pool: Operation<{ texts: number }>;

  constructor(
    device: Device,
    readonly config: BertConfig,
    weights: EncoderWeights,
    readonly batchTokens: number,
  ) {
    const { hiddenSize, intermediateSize, layerNormEps } = config;
    this.classifier = weights.classifier;
    const sizes = Object.entries(encoderActivationBytes(config, batchTokens));
    this.activations = Object.fromEntries(
      sizes.map(([name, size]) => [name, device.buffers.storage(name, 'activations', size)]),
    ) as Record<keyof EncoderActivations, GPUBuffer>;
    const { tokens, batchTable, spans, x, qkv, attended, wide, pooled } = this.activations;
    const norm = ({ weight, bias }: LayerNormWeights) =>
      createOperation(device, layerNormKernel(device, hiddenSize, layerNormEps), {
        norm_weight: weight,
        norm_bias: bias,
        x,
      });
    const linears = ({ matrices, bias }: BiasedWeights, from: GPUBuffer, to: GPUBuffer) =>
      linearsOf(device, matrices, { x: from, y: to, bias, accumulate: to === x, kind: 'prefill' });
    this.#embedding = new Embedding(device, weights.embeddings, 1, { tokens, batchTable, x });
    this.#positions = createOperation(device, addPositionsKernel(device, hiddenSize), {
      batch_table: batchTable,
      positions: weights.positions,
      x,
    });
    this.#embeddingNorm = norm(weights.embeddingNorm);
    this.#layers = weights.layers.map((layer) => ({
      qkv: linears(layer.qkv, x, qkv),
      attention: createOperation(device, attentionTextsKernel(device, config), {
        batch_table: batchTable,
        qkv,
        y: attended,
      }),
      attentionOutput: linears(layer.attentionOutput, attended, x),
      attentionNorm: norm(layer.attentionNorm),
      up: linears(layer.up, x, wide),
      activate: createOperation(device, activateKernel(device, intermediateSize), { x: wide }),
      down: linears(layer.down, wide, x),
      outputNorm: norm(layer.outputNorm),
    }));
    this.#pool = createOperation(device, poolTextsKernel(device, hiddenSize), { spans, x, pooled });
  }

  /** The last states are in `x`. */
  forward(recorder: Recorder, tokens: number, texts: number): void {
    const run = (operation: Operation<{ tokens: number }>): void =>
      recorder.run(operation, operation.groups({ tokens }), { tokens });
    const multiply = (linears: readonly Linear[]): void =>
      linears.forEach((linear) => linear.record(recorder, { kind: 'prefill', tokens }));
    this.#embedding.record(recorder, { tokens });
    run(this.#positions);
    run(this.#embeddingNorm);
    for (const layer of this.#layers) {
      multiply(layer.qkv);
      run(layer.attention);
      multiply(layer.attentionOutput);
      run(layer.attentionNorm);
      multiply(layer.up);
      run(layer.activate);
      multiply(layer.down);
      run(layer.outputNorm);
      recorder.submit();
    }
    recorder.run(this.#pool, this.#pool.groups({ texts }));
  }
}
