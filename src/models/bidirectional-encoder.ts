import { type BidirectionalConfig, reachOfLayer } from '../config/encoder-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { attentionTextsKernel } from '../kernels/encoder/attention-texts.ts';
import { poolTextsKernel } from '../kernels/encoder/pool-texts.ts';
import { rotateHeadsKernel } from '../kernels/encoder/rotate-heads.ts';
import { rowWidth } from '../kernels/heads.ts';
import { siluMulKernel } from '../kernels/silu-mul.ts';
import { Embedding } from '../layers/embedding.ts';
import { type Linear, linearsOf } from '../layers/linear.ts';
import { Norm } from '../layers/norm.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import type { TextActivations, TextEncoder } from './text-encoder.ts';

/** Matrices of one group, one below the other; several where their types differ. */
type Matrices = readonly WeightMatrix[];

export interface BidirectionalWeights {
  embeddings: WeightMatrix;
  layers: readonly {
    attentionNorm: GPUBuffer;
    qkv: Matrices;
    /** Of a head of queries, then of one of keys: `[2, headDim]`. */
    headNorms: GPUBuffer;
    /** cos and sin of every position: `[contextLength, 2, headDim / 2]`. */
    rope: GPUBuffer;
    attentionOutput: Matrices;
    attentionOutputNorm: GPUBuffer;
    mlpNorm: GPUBuffer;
    gateUp: Matrices;
    down: Matrices;
    mlpOutputNorm: GPUBuffer;
  }[];
  outputNorm: GPUBuffer;
  /** What comes behind pooling, one after the other: none or two. */
  dense: readonly WeightMatrix[];
}

/** Every intermediate of the forward pass, for a batch's T tokens of at most T texts; all are f32. */
export interface BidirectionalActivations extends TextActivations {
  /** The residual stream `[T, hiddenSize]`. */
  x: GPUBuffer;
  /** Of the residual stream, or what is to be added to it; at the end the states `[T, hiddenSize]`. */
  normed: GPUBuffer;
  /** `[T, (numHeads + 2 numKvHeads) headDim]` */
  qkv: GPUBuffer;
  /** `[T, numHeads headDim]` */
  attended: GPUBuffer;
  /** Gate and up `[T, 2 intermediateSize]`; what the first dense layer gives `[T, denseWidth]`. */
  wide: GPUBuffer;
  /** `[T, intermediateSize]` */
  gated: GPUBuffer;
}

/** Bytes of each; `batchTokens` is a multiple of the prefill tile. */
export function bidirectionalActivationBytes(
  { decoder, denseWidth = 0 }: BidirectionalConfig,
  batchTokens: number,
): Record<keyof BidirectionalActivations, number> {
  const { hiddenSize, intermediateSize, numHeads, headDim } = decoder;
  const rows = (width: number): number => batchTokens * width * 4;
  return {
    ...{
      tokens: rows(1),
      batchTable: rows(4),
      spans: rows(2),
      x: rows(hiddenSize),
      normed: rows(hiddenSize),
      qkv: rows(rowWidth(decoder)),
    },
    ...{
      attended: rows(numHeads * headDim),
      wide: rows(Math.max(2 * intermediateSize, denseWidth)),
      gated: rows(intermediateSize),
      pooled: rows(hiddenSize),
    },
  };
}

/** A layer's dispatches, in order. */
interface Layer {
  attentionNorm: Norm;
  qkv: readonly Linear[];
  rotate: Operation<{ tokens: number }>;
  attention: Operation<{ tokens: number }>;
  attentionOutput: readonly Linear[];
  attentionOutputNorm: Norm;
  mlpNorm: Norm;
  gateUp: readonly Linear[];
  activate: Operation<{ tokens: number }>;
  down: readonly Linear[];
  mlpOutputNorm: Norm;
}

/**
 * An encoder of a decoder's layers on the GPU: x += norm(attention(norm(x))), then x += norm(mlp(norm(x))). A batch has whole
 * texts, one behind the other; a token attends to those of its own text, before it and behind, in some layers to near ones alone.
 */
export class BidirectionalEncoder implements TextEncoder {
  readonly activations: BidirectionalActivations;
  readonly classifier = undefined;
  readonly #embedding: Embedding;
  readonly #layers: readonly Layer[];
  readonly #outputNorm: Norm;
  readonly #pool: Operation<{ texts: number }>;
  readonly #dense: readonly Linear[];

  constructor(
    device: Device,
    readonly config: BidirectionalConfig,
    weights: BidirectionalWeights,
    readonly batchTokens: number,
  ) {
    const { decoder } = config;
    const { hiddenSize, intermediateSize, rmsNormEps, activation, embeddingScale } = decoder;
    const sizes = Object.entries(bidirectionalActivationBytes(config, batchTokens));
    this.activations = Object.fromEntries(
      sizes.map(([name, size]) => [name, device.buffers.storage(name, 'activations', size)]),
    ) as Record<keyof BidirectionalActivations, GPUBuffer>;
    const { tokens, batchTable, spans, x, normed, qkv, attended, wide, gated, pooled } = this.activations;
    const inputNorm = (weight: GPUBuffer): Norm => new Norm(device, weight, rmsNormEps, { x, output: normed });
    const addedNorm = (weight: GPUBuffer): Norm =>
      new Norm(device, weight, rmsNormEps, { x: normed, output: x, accumulate: true });
    const linears = (matrices: Matrices, from: GPUBuffer, to: GPUBuffer): Linear[] =>
      linearsOf(device, matrices, { x: from, y: to, kind: 'prefill' });
    this.#embedding = new Embedding(device, weights.embeddings, embeddingScale, { tokens, batchTable, x });
    this.#layers = weights.layers.map((layer, i) => ({
      attentionNorm: inputNorm(layer.attentionNorm),
      qkv: linears(layer.qkv, normed, qkv),
      rotate: createOperation(device, rotateHeadsKernel(device, decoder), {
        batch_table: batchTable,
        rope: layer.rope,
        norm_weights: layer.headNorms,
        qkv,
      }),
      attention: createOperation(device, attentionTextsKernel(device, { ...decoder, reach: reachOfLayer(config, i) }), {
        batch_table: batchTable,
        qkv,
        y: attended,
      }),
      attentionOutput: linears(layer.attentionOutput, attended, normed),
      attentionOutputNorm: addedNorm(layer.attentionOutputNorm),
      mlpNorm: inputNorm(layer.mlpNorm),
      gateUp: linears(layer.gateUp, normed, wide),
      activate: createOperation(device, siluMulKernel(device, intermediateSize, activation), { x: wide, y: gated }),
      down: linears(layer.down, gated, normed),
      mlpOutputNorm: addedNorm(layer.mlpOutputNorm),
    }));
    this.#outputNorm = inputNorm(weights.outputNorm);
    this.#pool = createOperation(device, poolTextsKernel(device, hiddenSize), { spans, x: normed, pooled });
    this.#dense = weights.dense.flatMap((matrix, i) =>
      i === 0 ? linears([matrix], pooled, wide) : linears([matrix], wide, pooled),
    );
  }

  /** The last states are in `normed`. */
  forward(recorder: Recorder, tokens: number, texts: number): void {
    const run = (operation: Operation<{ tokens: number }>): void =>
      recorder.run(operation, operation.groups({ tokens }), { tokens });
    const multiply = (linears: readonly Linear[], rows = tokens): void =>
      linears.forEach((linear) => linear.record(recorder, { kind: 'prefill', tokens: rows }));
    this.#embedding.record(recorder, { tokens });
    for (const layer of this.#layers) {
      layer.attentionNorm.record(recorder, tokens);
      multiply(layer.qkv);
      run(layer.rotate);
      run(layer.attention);
      multiply(layer.attentionOutput);
      layer.attentionOutputNorm.record(recorder, tokens);
      layer.mlpNorm.record(recorder, tokens);
      multiply(layer.gateUp);
      run(layer.activate);
      multiply(layer.down);
      layer.mlpOutputNorm.record(recorder, tokens);
      recorder.submit();
    }
    this.#outputNorm.record(recorder, tokens);
    recorder.run(this.#pool, this.#pool.groups({ texts }));
    multiply(this.#dense, texts);
  }
}
