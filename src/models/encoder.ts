import type { BertConfig, EncoderConfig } from '../config/encoder-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation, type Recorder } from '../gpu/recorder.ts';
import {
  activateKernel,
  addPositionsKernel,
  attentionTextsKernel,
  layerNormKernel,
  poolTextsKernel,
} from '../kernels/encoder.ts';
import { Embedding, type Linear, linearsOf } from '../layers/linear.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';

/** A dense layer on the CPU: `weight [outputs, inputs]`, `bias [outputs]`. */
export interface Dense {
  weight: Float32Array;
  bias: Float32Array;
}

/**
 * Classification head of a cross-encoder: the score of the first token's hidden state x is out(tanh(dense(x)))
 * (transformers, modeling_bert.py, BertForSequenceClassification). It runs on the CPU: its cost is a twelfth of one token's
 * in one layer.
 */
export class Classifier {
  constructor(
    private readonly dense: Dense,
    private readonly out: Dense,
  ) {}

  /** The score of a hidden state `[hiddenSize]`: the model's raw output. */
  score(state: Float32Array): number {
    const [score = NaN] = apply(this.out, apply(this.dense, state).map(Math.tanh));
    return score;
  }
}

/** W · x + b, `[outputs]`. */
function apply({ weight, bias }: Dense, x: Float32Array): Float32Array {
  return bias.map((sum, row) => {
    const start = row * x.length;
    for (let i = 0; i < x.length; i++) sum += weight[start + i]! * x[i]!;
    return sum;
  });
}

/** Inputs and outputs of an encoder's forward pass, for a batch of T tokens of at most T texts. */
export interface TextActivations {
  /** Token ids, u32 `[T]`. */
  tokens: GPUBuffer;
  /** Per token: index in `tokens`, row of the position table, first token and length of its text; u32 `[T, 4]`. */
  batchTable: GPUBuffer;
  /** Per text: first token and count of the tokens to pool; u32 `[T, 2]`. */
  spans: GPUBuffer;
  /** One vector per text, f32 `[T, hiddenSize]`. */
  pooled: GPUBuffer;
}

/** An encoder on the GPU. */
export interface TextEncoder {
  readonly config: EncoderConfig;
  /** Most tokens of a batch. */
  readonly batchTokens: number;
  readonly activations: TextActivations;
  /** Cross-encoders: scores a vector of `pooled`. */
  readonly classifier: Classifier | undefined;
  /**
   * Runs the forward pass from `tokens`, `batchTable` and `spans` to the hidden states and a vector per text in `pooled`.
   * Submits after each layer, to keep submissions short.
   */
  forward(recorder: Recorder, tokens: number, texts: number): void;
}

/** Stacked matrices (several if types differ) with their bias. */
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
  /** Position plus segment embeddings `[numSegments, contextLength, hiddenSize]`. */
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
  /** Cross-encoders only. */
  classifier: Classifier | undefined;
}

/** Activations of the forward pass, for a batch of T tokens of at most T texts; f32. */
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

/** Bytes of each activation; `batchTokens` must be a multiple of the prefill tile. */
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
 * BERT (arXiv 1810.04805) on the GPU, with post-norms: x = norm(x + attention(x)), then x = norm(x + mlp(x)). A batch holds
 * whole texts, one after another; each attends only to itself.
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

  /** Leaves the hidden states in `x`. */
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
