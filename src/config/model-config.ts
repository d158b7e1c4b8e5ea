/** What a gate goes through before it is multiplied with up. */
export type Activation = 'silu' | 'gelu';

/** Layers whose tokens attend to the latest ones alone (arXiv 2004.05150). */
export interface SlidingWindow {
  /** Tokens that each attends to, itself among them. */
  tokens: number;
  /** Ascending; the others attend to all. */
  layers: readonly number[];
  /** Of these layers where they have their own, and positions that are not scaled; default: the model's. */
  ropeTheta?: number;
  /** Components of these layers' heads, where the others' are of another size. */
  headDim?: number;
}

/** Layers that attend to keys and values of the last layer of their kind before them, and compute queries alone (Gemma 3n and 4). */
export interface SharedKeys {
  /** The first of them; all behind it are. */
  from: number;
  /** Of their MLP. */
  intermediateSize: number;
}

/** Stretches a rotation over a longer context (YaRN, arXiv 2309.00071): slow turns are slowed down, fast ones are left. */
export interface Yarn {
  /** By which frequencies that are slowed down are divided. */
  factor: number;
  /** Tokens of the context that is stretched. */
  originalContext: number;
  /** Turns within that from which on a frequency is left, and below which it is wholly slowed down. */
  betaFast: number;
  betaSlow: number;
  /** Where these bounds lie between two frequencies they are moved outwards to whole ones. */
  truncate: boolean;
  /** How far frequencies are left at most: 1 wholly. */
  extFactor: number;
}

/** Layers that in place of attention have a gated convolution over the latest tokens (LFM2: arXiv 2511.23404). */
export interface ShortConvolution {
  /** Tokens that each takes in, itself among them. */
  taps: number;
  /** Ascending. */
  layers: readonly number[];
}

/** Layers that in place of attention have a gated delta net (arXiv 2412.06464): a state of each text that every token changes. */
export interface DeltaNet {
  /** Of queries and keys; each serves as many value heads. */
  numKeyHeads: number;
  numValueHeads: number;
  /** Of keys and of values. */
  headDim: number;
  /** Tokens that the convolution of queries, keys and values takes in, the latest among them. */
  taps: number;
  /** Which value heads a key head serves: `grouped` neighbours, as in safetensors, or `tiled` every numKeyHeads-th, as in GGUF files. */
  valueHeads: 'grouped' | 'tiled';
  /** Ascending. */
  layers: readonly number[];
}

/** In place of an MLP layers have several small ones, of which a router chooses some for each token (arXiv 1701.06538). */
export interface Experts {
  count: number;
  /** Of these, how many each token goes through. */
  used: number;
  /** Of one. */
  intermediateSize: number;
  /** Layers before this one have an MLP. */
  firstLayer: number;
  /** What the router's scores become: a softmax over all, or of each its sigmoid, to which a bias is added where experts are chosen. */
  shares: 'softmax' | 'sigmoid';
  /** The shares of those that a token goes through are divided by their sum. */
  normalizes: boolean;
}

/** Hyperparameters of a decoder-only transformer, independent of the file they were read from. */
export interface ModelConfig {
  /** One of src/architectures. */
  architecture: string;
  numLayers: number;
  hiddenSize: number;
  intermediateSize: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  vocabSize: number;
  /** Longest context the model was trained for, in tokens. */
  contextLength: number;
  rmsNormEps: number;
  ropeTheta: number;
  /** Positions are divided by this before the rotation (linear context extension, arXiv 2306.15595). */
  ropeLinearScale?: number;
  yarn?: Yarn;
  /**
   * LongRoPE (arXiv 2402.13753): frequencies are divided by rope_factors_short.weight where the context is opened with at
   * most so many tokens, else by rope_factors_long.weight.
   */
  shortContext?: number;
  /** Components of a head that are rotated, its first; default: all. */
  rotaryDim?: number;
  /** Of queries and keys what is rotated is multiplied by this; default: 1. */
  rotaryScale?: number;
  /** Scores of the query at `position` are multiplied by 1 + beta · ln(1 + ⌊position / tokens⌋). */
  temperature?: { beta: number; tokens: number };
  /** Layers whose queries and keys are not rotated (arXiv 2501.18795), ascending. */
  unrotatedLayers: readonly number[];
  window?: SlidingWindow;
  convolution?: ShortConvolution;
  deltaNet?: DeltaNet;
  sharedKeys?: SharedKeys;
  /**
   * Numbers that each layer takes in of a token beside the residual stream: its row of an embedding matrix
   * `[vocabSize, numLayers perLayerInputs]`, which stays off the GPU (Gemma 3n and 4).
   */
  perLayerInputs?: number;
  /** What a head attends to is multiplied by the sigmoid of a gate, which the projection of the query gives beside it. */
  gatesAttention?: boolean;
  experts?: Experts;
  /** It is a draft head: one layer that begins with what the model knows before each token, beside the token's embedding. */
  isDraftHead?: boolean;
  /** q, k and v have a bias. */
  qkvBias: boolean;
  /** q and k are RMS-normed per head before the rotation. */
  qkNorm: boolean;
  /** They are RMS-normed before it, each over all of its heads together. */
  normsQkWhole?: boolean;
  /** v is RMS-normed per head too, without weights. */
  valueNorm?: boolean;
  /** What attention and MLP add to the residual stream is RMS-normed first. */
  postNorms: boolean;
  activation: Activation;
  /** Scores are multiplied by this before their softmax; default: 1 / sqrt(headDim). */
  attentionScale?: number;
  /** Embeddings are multiplied by this; 1 in most models. */
  embeddingScale: number;
  /** What attention and MLP add to the residual stream is multiplied by this; 1 in most models. */
  residualScale: number;
  /** Logits are divided by this; 1 in most models. */
  logitDivisor: number;
  /** Logits go through cap · tanh(logit / cap). */
  logitCap?: number;
  /** The output matrix is the embedding matrix. */
  tiedEmbeddings: boolean;
  /**
   * Which two components of a head a rotation turns: `interleaved` (2i, 2i+1), as in GGUF files of architectures whose q
   * and k rows are permuted for it, or `half` (i, i + rotaryDim/2), as in all others and in safetensors.
   */
  ropeLayout: 'interleaved' | 'half';
}

/** Tokens that those of a layer attend to; undefined where it is all. */
export const windowOfLayer = ({ window }: Pick<ModelConfig, 'window'>, layer: number): number | undefined =>
  window?.layers.includes(layer) ? window.tokens : undefined;

/** Whether a layer has a convolution in place of attention. */
export const isConvolved = ({ convolution }: Pick<ModelConfig, 'convolution'>, layer: number): boolean =>
  convolution?.layers.includes(layer) === true;

/** Whether a layer has a delta net in place of attention. */
export const hasState = ({ deltaNet }: Pick<ModelConfig, 'deltaNet'>, layer: number): boolean =>
  deltaNet?.layers.includes(layer) === true;

/** Whether a layer has experts in place of its MLP. */
export const hasExperts = ({ experts }: Pick<ModelConfig, 'experts'>, layer: number): boolean =>
  experts !== undefined && layer >= experts.firstLayer;

/** Whether a layer attends to another layer's keys and values. */
export const sharesKeys = ({ sharedKeys }: Pick<ModelConfig, 'sharedKeys'>, layer: number): boolean =>
  sharedKeys !== undefined && layer >= sharedKeys.from;

/** Whether a layer has pages of its own in the cache. */
export const hasPages = (config: Pick<ModelConfig, 'deltaNet' | 'sharedKeys'>, layer: number): boolean =>
  !hasState(config, layer) && !sharesKeys(config, layer);

/** The layer whose keys and values a layer attends to: itself, or the last of its kind that has its own. */
export function keyLayerOf(config: Pick<ModelConfig, 'sharedKeys' | 'window'>, layer: number): number {
  if (!config.sharedKeys || !sharesKeys(config, layer)) return layer;
  const isWindowed = windowOfLayer(config, layer) !== undefined;
  let source = config.sharedKeys.from - 1;
  while ((windowOfLayer(config, source) !== undefined) !== isWindowed) source--; // readModelConfig has seen to it that there is one
  return source;
}

/** Components of a layer's heads. */
export const headDimOfLayer = ({ window, headDim }: Pick<ModelConfig, 'window' | 'headDim'>, layer: number): number =>
  window?.headDim !== undefined && window.layers.includes(layer) ? window.headDim : headDim;

/** Of a model's widest MLP. */
export const widestMlp = ({
  intermediateSize,
  sharedKeys,
}: Pick<ModelConfig, 'intermediateSize' | 'sharedKeys'>): number =>
  Math.max(intermediateSize, sharedKeys?.intermediateSize ?? 0);

/** A model's sizes as one of its layers has them, and what is rotated there: where nothing is, no rotation scales anything. */
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
