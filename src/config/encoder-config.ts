/**
 * How the states of a text's tokens become one vector: their mean, or the state of the first or the last token. `rank`: of a
 * cross-encoder, which makes a score of the first token's state of two texts side by side.
 */
export type Pooling = 'mean' | 'cls' | 'last' | 'rank';

/** Hyperparameters of an encoder (BERT, arXiv 1810.04805), independent of the file they were read from. */
export interface EncoderConfig {
  /** GGUF's name of it. */
  architecture: string;
  numLayers: number;
  hiddenSize: number;
  intermediateSize: number;
  numHeads: number;
  headDim: number;
  vocabSize: number;
  /** Positions that it has learned: the longest text, in tokens. */
  contextLength: number;
  /** Segments that it has learned: a text is of the first, what is compared with it of the second. */
  numSegments: number;
  /** How two texts are told apart: by segments, with a separator between, or by two separators, both in the first segment. */
  pairs: 'segments' | 'separators';
  layerNormEps: number;
  pooling: Pooling;
  /** Vectors are scaled to length one. */
  isNormalized: boolean;
}
