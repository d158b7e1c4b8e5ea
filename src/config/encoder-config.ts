import { type ModelConfig, windowOfLayer } from './model-config.ts';

/**
 * How an encoder turns the hidden states of a text's tokens into one vector: their mean, or the state of the first or
 * the last token. `rank`: a cross-encoder reads two texts side by side and computes a score from the first token's
 * state.
 */
export type Pooling = 'mean' | 'cls' | 'last' | 'rank';

/** Hyperparameters of an encoder, independent of the file they were read from. */
export type EncoderConfig = BertConfig | BidirectionalConfig;

interface TextsConfig {
  /** GGUF's name of the architecture. */
  architecture: string;
  /** Components of a hidden state and of the text's vector. */
  hiddenSize: number;
  vocabSize: number;
  /** Most tokens of a text. */
  contextLength: number;
  pooling: Pooling;
  /** Vectors are scaled to length one. */
  isNormalized: boolean;
}

/** BERT (arXiv 1810.04805) and relatives with learned positions. */
export interface BertConfig extends TextsConfig {
  numLayers: number;
  intermediateSize: number;
  numHeads: number;
  headDim: number;
  /** Learned segment embeddings: a text has segment 0, the text compared with it segment 1. */
  numSegments: number;
  /**
   * How a pair of texts is marked: by segments with one separator between, or by two separators in the first segment.
   */
  pairs: 'segments' | 'separators';
  layerNormEps: number;
}

/** An encoder made of decoder layers whose tokens attend in both directions (EmbeddingGemma, arXiv 2509.20354). */
export interface BidirectionalConfig extends TextsConfig {
  /** Half of a sliding window lies on each side of a token. */
  decoder: ModelConfig;
  /** Outputs of the first of two dense layers after pooling; the second gives hiddenSize. Default: no dense layers. */
  denseWidth?: number;
}

/** Tokens on each side that a token of a layer attends to; undefined for all. */
export function reachOfLayer({ decoder }: BidirectionalConfig, layer: number): number | undefined {
  const window = windowOfLayer(decoder, layer);
  return window === undefined ? undefined : Math.floor(window / 2);
}
