import { FEW_TOKENS } from './limits.ts';
import type { Activation } from './activations.ts';

/** Sliding-window layers: tokens attend to the latest tokens only (arXiv 2004.05150). */
export interface SlidingWindow {
  /** Tokens that each token attends to, itself included. */
  tokens: number;
  /** Ascending; all other layers attend to the whole text. */
  layers: readonly number[];
  /** RoPE base of these layers, whose positions are then not scaled; default: the model's. */
  ropeTheta?: number;
  /** Head size of these layers where it differs from the other layers'. */
  headDim?: number;
}

/**
 * Layers without keys and values of their own: they attend to those of the last earlier layer of the same kind (Gemma
 * 3n and 4).
 */
export interface SharedKeys {
  /** The first of these layers; all later layers share too. */
  from: number;
  /** Width of these layers' MLP. */
  intermediateSize: number;
}

/** Context extension that lowers slow frequencies and keeps fast ones (YaRN, arXiv 2309.00071). */
export interface Yarn {
  /** Divisor of lowered frequencies. */
  factor: number;
  /** Tokens of the original context. */
  originalContext: number;
  /** Turns within the original context: frequencies with at least betaFast are kept, below betaSlow fully lowered. */
  betaFast: number;
  betaSlow: number;
  /** Round a bound that falls between two frequencies outwards to a whole one. */
  truncate: boolean;
  /** Share of the original frequency that fast ones keep; 1: all of it. */
  extFactor: number;
}

/** Layers with a gated short convolution over the latest tokens instead of attention (LFM2: arXiv 2511.23404). */
export interface ShortConvolution {
  /** Tokens that each output depends on, the current one included. */
  taps: number;
  /** Ascending. */
  layers: readonly number[];
}

/**
 * Layers with a gated delta net instead of attention (arXiv 2412.06464): each sequence has a recurrent state that every
 * token updates.
 */
export interface DeltaNet {
  /** Heads of queries and keys; each serves numValueHeads / numKeyHeads value heads. */
  numKeyHeads: number;
  numValueHeads: number;
  /** Components of a key head and of a value head. */
  headDim: number;
  /** Tokens that the convolution over queries, keys and values spans, the latest included. */
  taps: number;
  /**
   * Order of value heads: a key head serves `grouped` neighbours, as in safetensors, or every numKeyHeads-th one
   * (`tiled`), as in GGUF files.
   */
  valueHeads: 'grouped' | 'tiled';
  /** Ascending. */
  layers: readonly number[];
}

/** Mixture of experts instead of an MLP: a router chooses some small MLPs for each token (arXiv 1701.06538). */
export interface Experts {
  count: number;
  /** Experts per token. */
  used: number;
  /** Width of one expert. */
  intermediateSize: number;
  /** Layers before this one have a plain MLP. */
  firstLayer: number;
  /**
   * How router scores become weights: softmax over all experts, or sigmoid per expert, with a bias added for the choice
   * only.
   */
  shares: 'softmax' | 'sigmoid';
  /** Divide the weights of a token's chosen experts by their sum. */
  normalizes: boolean;
}

/** Hyperparameters of a decoder-only transformer, independent of the file they were read from. */
export interface ModelConfig {
  /** Name of one of src/architectures. */
  architecture: string;
  numLayers: number;
  hiddenSize: number;
  intermediateSize: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  vocabSize: number;
  /** Context that the model was trained for, in tokens. */
  contextLength: number;
  rmsNormEps: number;
  ropeTheta: number;
  /** Divisor of positions before the rotation (linear context extension, arXiv 2306.15595). */
  ropeLinearScale?: number;
  yarn?: Yarn;
  /**
   * LongRoPE (arXiv 2402.13753): frequencies are divided by rope_factors_short.weight in a context of at most this many
   * tokens, else by rope_factors_long.weight.
   */
  shortContext?: number;
  /** Rotated components of a head, counted from its first; default: all. */
  rotaryDim?: number;
  /** Factor of the rotated components of queries and keys; default: 1. */
  rotaryScale?: number;
  /** Scores of the query at `position` are multiplied by 1 + beta · ln(1 + ⌊position / tokens⌋). */
  temperature?: { beta: number; tokens: number };
  /** Layers without rotation (arXiv 2501.18795), ascending. */
  unrotatedLayers: readonly number[];
  window?: SlidingWindow;
  convolution?: ShortConvolution;
  deltaNet?: DeltaNet;
  sharedKeys?: SharedKeys;
  /**
   * Width of per-layer embeddings: each layer reads its part of the token's row in a matrix `[vocabSize, numLayers
   * perLayerInputs]`, which stays off the GPU (Gemma 3n and 4).
   */
  perLayerInputs?: number;
  /** The query projection also gives a gate; the head's output is multiplied by its sigmoid. */
  gatesAttention?: boolean;
  experts?: Experts;
  /** Draft head: one layer whose input joins the model's hidden state and the token's embedding. */
  isDraftHead?: boolean;
  /** q, k and v have a bias. */
  qkvBias: boolean;
  /** q and k are RMS-normed per head before the rotation. */
  qkNorm: boolean;
  /** q and k are RMS-normed before the rotation, each over all heads together. */
  normsQkWhole?: boolean;
  /** v is also RMS-normed per head, without weights. */
  valueNorm?: boolean;
  /** Outputs of attention and MLP are RMS-normed before they join the residual stream. */
  postNorms: boolean;
  activation: Activation;
  /** Factor of attention scores before the softmax; default: 1 / sqrt(headDim). */
  attentionScale?: number;
  /** Factor of embeddings; 1 in most models. */
  embeddingScale: number;
  /** Factor of the outputs of attention and MLP; 1 in most models. */
  residualScale: number;
  /** Divisor of logits; 1 in most models. */
  logitDivisor: number;
  /** Logits become cap · tanh(logit / cap). */
  logitCap?: number;
  /** The output matrix is the embedding matrix. */
  tiedEmbeddings: boolean;
  /**
   * Component pairs that a rotation turns: `interleaved` (2i, 2i+1), as in GGUF files of architectures whose q and k
   * rows are permuted for it, or `half` (i, i + rotaryDim/2), as in all others and in safetensors.
   */
  ropeLayout: 'interleaved' | 'half';
}

/** Tokens that a layer's tokens attend to; undefined without a sliding window. */
export const windowOfLayer = ({ window }: Pick<ModelConfig, 'window'>, layer: number): number | undefined =>
  window?.layers.includes(layer) ? window.tokens : undefined;

/** Whether a layer has a short convolution instead of attention. */
export const isConvolved = ({ convolution }: Pick<ModelConfig, 'convolution'>, layer: number): boolean =>
  convolution?.layers.includes(layer) === true;

/** Whether a layer has a delta net, and thus a recurrent state, instead of attention. */
export const hasState = ({ deltaNet }: Pick<ModelConfig, 'deltaNet'>, layer: number): boolean =>
  deltaNet?.layers.includes(layer) === true;

/** Whether a layer has experts instead of an MLP. */
export const hasExperts = ({ experts }: Pick<ModelConfig, 'experts'>, layer: number): boolean =>
  experts !== undefined && layer >= experts.firstLayer;

/** Whether a layer attends to another layer's keys and values. */
export const sharesKeys = ({ sharedKeys }: Pick<ModelConfig, 'sharedKeys'>, layer: number): boolean =>
  sharedKeys !== undefined && layer >= sharedKeys.from;

/** Whether a layer has KV cache pages of its own. */
export const hasPages = (config: Pick<ModelConfig, 'deltaNet' | 'sharedKeys'>, layer: number): boolean =>
  !hasState(config, layer) && !sharesKeys(config, layer);

/** Layer whose keys and values a layer reads: itself, or the last earlier one of its kind with keys of its own. */
export function keyLayerOf(config: Pick<ModelConfig, 'sharedKeys' | 'window'>, layer: number): number {
  if (!config.sharedKeys || !sharesKeys(config, layer)) return layer;
  const isWindowed = windowOfLayer(config, layer) !== undefined;
  let source = config.sharedKeys.from - 1;
  while ((windowOfLayer(config, source) !== undefined) !== isWindowed) source--; // readModelConfig checks that it exists
  return source;
}

/** Head size of a layer. */
export const headDimOfLayer = ({ window, headDim }: Pick<ModelConfig, 'window' | 'headDim'>, layer: number): number =>
  window?.headDim !== undefined && window.layers.includes(layer) ? window.headDim : headDim;

/** Width of a model's widest MLP. */
export const widestMlp = ({
  intermediateSize,
  sharedKeys,
}: Pick<ModelConfig, 'intermediateSize' | 'sharedKeys'>): number =>
  Math.max(intermediateSize, sharedKeys?.intermediateSize ?? 0);

/** The config with the head size, MLP width and rotation scale of one layer. A layer without rotation has no scale. */
export function configOfLayer<
  C extends Pick<
    ModelConfig,
    'window' | 'sharedKeys' | 'headDim' | 'intermediateSize' | 'unrotatedLayers' | 'rotaryScale'
  >,
>(config: C, layer: number): C {
  const { sharedKeys } = config;
  const headDim = headDimOfLayer(config, layer);
  const intermediateSize =
    sharedKeys && sharesKeys(config, layer) ? sharedKeys.intermediateSize : config.intermediateSize;
  const rotaryScale = config.unrotatedLayers.includes(layer) ? undefined : config.rotaryScale;
  return headDim === config.headDim &&
    intermediateSize === config.intermediateSize &&
    rotaryScale === config.rotaryScale
    ? config
    : { ...config, headDim, intermediateSize, rotaryScale };
}

/** Tokens in a recurrent state's tail: the longest draft. */
export const TAIL_TOKENS = FEW_TOKENS - 1;

/** Widths of a token's activations in a layer with a delta net, in f32. */
export function deltaWidths({ numKeyHeads, numValueHeads, headDim }: DeltaNet) {
  const values = numValueHeads * headDim;
  /** Queries, keys and values: the input of the convolution. */
  const convolved = 2 * numKeyHeads * headDim + values;
  /** `projected`: those, the output gate, and each value head's write strength and decay. */
  return { values, convolved, projected: convolved + values + 2 * numValueHeads };
}

/** Floats of a recurrent state: `[headDim, headDim]` of each value head. */
export const deltaStateFloats = ({ numValueHeads, headDim }: DeltaNet): number => numValueHeads * headDim ** 2;

/** Floats of a token's update: queries, keys and values, and each value head's write strength and decay. */
export const broughtFloats = (net: DeltaNet): number => deltaWidths(net).convolved + 2 * net.numValueHeads;

/** Bytes of a recurrent state's tail: the updates of draft tokens, before their convolution. */
export const tailBytes = (net: DeltaNet): number => 4 * TAIL_TOKENS * broughtFloats(net);

/** Bytes of a recurrent state with the inputs of the convolution's latest tokens `[taps - 1, convolved]`. */
export const stateBytes = (net: DeltaNet): number =>
  4 * (deltaStateFloats(net) + (net.taps - 1) * deltaWidths(net).convolved);
