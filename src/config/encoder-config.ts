import { type ModelConfig, windowOfLayer } from './model-config.ts';

/**
 * How the states of a text's tokens become one vector: their mean, or the state of the first or the last token. `rank`: of a
 * cross-encoder, which makes a score of the first token's state of two texts side by side.
 */
export type Pooling = 'mean' | 'cls' | 'last' | 'rank';

/** Hyperparameters of an encoder, independent of the file they were read from. */
export type EncoderConfig = BertConfig | BidirectionalConfig;

interface TextsConfig {
  /** GGUF's name of it. */
  architecture: string;
  /** Of its vectors, too. */
  hiddenSize: number;
  vocabSize: number;
  /** The longest text, in tokens. */
  contextLength: number;
  pooling: Pooling;
  /** Vectors are scaled to length one. */
  isNormalized: boolean;
}

/** BERT (arXiv 1810.04805) and its like, which have learned positions. */
export interface BertConfig extends TextsConfig {
  numLayers: number;
  intermediateSize: number;
  numHeads: number;
  headDim: number;
  /** Segments that it has learned: a text is of the first, what is compared with it of the second. */
  numSegments: number;
  /** How two texts are told apart: by segments, with a separator between, or by two separators, both in the first segment. */
  pairs: 'segments' | 'separators';
  layerNormEps: number;
}

/** An encoder of a decoder's layers, whose tokens see those behind them, too (EmbeddingGemma, arXiv 2509.20354). */
export interface BidirectionalConfig extends TextsConfig {
  /** Its layers. Half of a window lies on each side. */
  decoder: ModelConfig;
  /** Outputs of the first of two dense layers behind pooling; the second gives hiddenSize. Default: there are none. */
  denseWidth?: number;
}

/** Tokens before and behind each that it attends to, in a layer; undefined where it is all. */
export function reachOfLayer({ decoder }: BidirectionalConfig, layer: number): number | undefined {
  const window = windowOfLayer(decoder, layer);
  return window === undefined ? undefined : Math.floor(window / 2);
}
