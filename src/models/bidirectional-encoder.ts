import { outputNormOf } from '../architectures/architecture.ts';
import { type LinearGroup, linearsOfGroup } from '../architectures/linears.ts';
import { architectureOf } from '../architectures/registry.ts';
import { type BidirectionalConfig, reachOfLayer } from '../config/encoder-config.ts';
import { windowOfLayer } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation, type Recorder } from '../gpu/recorder.ts';
import { attentionTextsKernel, poolTextsKernel, rotateHeadsKernel } from '../kernels/encoder.ts';
import { rowWidth } from '../kernels/heads.ts';
import { Embedding, type Linear, linearsOf, Norm } from '../layers/linear.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import { DENSE } from '../weights/encoder-config.ts';
import type { TextActivations, TextEncoder } from './encoder.ts';
import { ropeTable, windowTable } from './rope-table.ts';
import type { TensorLoader } from './tensor-loader.ts';
import { gatedActivationKernel } from '../kernels/element-wise.ts';

/** Stacked matrices of one group; several if their types differ. */
type Matrices = readonly WeightMatrix[];

interface BidirectionalWeights {
  embeddings: WeightMatrix;
  layers: readonly {
    attentionNorm: GPUBuffer;
    qkv: Matrices;
    /** Norm weights of a query head, then of a key head `[2, headDim]`. */
    headNorms: GPUBuffer;
    /** cos and sin of every position `[contextLength, 2, headDim / 2]`. */
    rope: GPUBuffer;
    attentionOutput: Matrices;
    attentionOutputNorm: GPUBuffer;
    mlpNorm: GPUBuffer;
    gateUp: Matrices;
    down: Matrices;
    mlpOutputNorm: GPUBuffer;
  }[];
  outputNorm: GPUBuffer;
  /** Dense layers after pooling, in order: none or two. */
  dense: readonly WeightMatrix[];
}

/** Activations of the forward pass, for a batch of T tokens of at most T texts; f32. */
export interface BidirectionalActivations extends TextActivations {
  /** The residual stream `[T, hiddenSize]`. */
  x: GPUBuffer;
  /** norm(x), or the next addend of x; finally the hidden states `[T, hiddenSize]`. */
  normed: GPUBuffer;
  /** `[T, (numHeads + 2 numKvHeads) headDim]` */
  qkv: GPUBuffer;
  /** `[T, numHeads headDim]` */
  attended: GPUBuffer;
  /** Gate and up `[T, 2 intermediateSize]`; output of the first dense layer `[T, denseWidth]`. */
  wide: GPUBuffer;
  /** `[T, intermediateSize]` */
  gated: GPUBuffer;
}

/** Bytes of each activation; `batchTokens` must be a multiple of the prefill tile. */
export function bidirectionalActivationBytes(
  { decoder, denseWidth = 0 }: BidirectionalConfig,
  batchTokens: number,
): Record<keyof BidirectionalActivations, number> {
  const { hiddenSize, intermediateSize, numHeads, headDim } = decoder;
  const rows = (width: number): number => batchTokens * width * 4;
  return {
    tokens: rows(1),
    batchTable: rows(4),
    spans: rows(2),
    x: rows(hiddenSize),
    normed: rows(hiddenSize),
    qkv: rows(rowWidth(decoder)),
    attended: rows(numHeads * headDim),
    wide: rows(Math.max(2 * intermediateSize, denseWidth)),
    gated: rows(intermediateSize),
    pooled: rows(hiddenSize),
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
 * A bidirectional encoder with a decoder's layers: x += norm(attention(norm(x))), then x += norm(mlp(norm(x))). A batch holds
 * whole texts, one after another; a token attends to its own text in both directions, in some layers within a window.
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
      activate: createOperation(device, gatedActivationKernel(device, intermediateSize, activation), {
        x: wide,
        y: gated,
      }),
      down: linears(layer.down, gated, normed),
      mlpOutputNorm: addedNorm(layer.mlpOutputNorm),
    }));
    this.#outputNorm = inputNorm(weights.outputNorm);
    this.#pool = createOperation(device, poolTextsKernel(device, hiddenSize), { spans, x: normed, pooled });
    this.#dense = weights.dense.flatMap((matrix, i) =>
      i === 0 ? linears([matrix], pooled, wide) : linears([matrix], wide, pooled),
    );
  }

  /** Leaves the hidden states in `normed`. */
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

/** Loads the weights of a bidirectional encoder, for texts of up to `contextLength` tokens. Errors: those of `TensorLoader`. */
export async function readBidirectional(
  tensors: TensorLoader,
  { decoder, denseWidth }: BidirectionalConfig,
  contextLength: number,
): Promise<BidirectionalWeights> {
  const upload = (table: Float32Array): GPUBuffer =>
    tensors.buffer('rope', new Uint8Array(table.buffer), 'activations');
  const embeddings = await tensors.matrix('token_embd.weight');
  const rope = upload(ropeTable(decoder, contextLength));
  const windowed = decoder.window && windowTable(decoder, decoder.window, contextLength);
  const windowRope = windowed ? upload(windowed) : rope;
  const layers = [];
  for (let i = 0; i < decoder.numLayers; i++) {
    const name = (part: string): string => `blk.${i}.${part}.weight`;
    const linears = (group: LinearGroup): Promise<WeightMatrix[]> =>
      tensors.matrices(
        name(group),
        linearsOfGroup(group).map((linear) => ({ tensor: tensors.tensor(name(linear)) })),
      );
    const vector = (part: string): Promise<GPUBuffer> => tensors.vector(name(part));
    layers.push({
      attentionNorm: await vector('attn_norm'),
      qkv: await linears('qkv'),
      headNorms: await readHeadNorms(tensors, name),
      rope: windowOfLayer(decoder, i) === undefined ? rope : windowRope,
      attentionOutput: await linears('output'),
      attentionOutputNorm: await vector('post_attention_norm'),
      mlpNorm: await vector('ffn_norm'),
      gateUp: await linears('gateUp'),
      down: await linears('down'),
      mlpOutputNorm: await vector('post_ffw_norm'),
    });
  }
  const outputNorm = await tensors.vector(outputNormOf(architectureOf(decoder)));
  const dense = [];
  if (denseWidth !== undefined) for (const name of DENSE) dense.push(await tensors.matrix(name));
  return { embeddings, layers, outputNorm, dense };
}

async function readHeadNorms(tensors: TensorLoader, name: (part: string) => string): Promise<GPUBuffer> {
  const parts = [await tensors.read(name('attn_q_norm')), await tensors.read(name('attn_k_norm'))];
  return tensors.buffer(name('attn_qk_norm'), new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()));
}
