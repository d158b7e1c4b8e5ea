/** Frequency scaling of Llama 3.1 and later (arXiv 2407.21783; llama.cpp reads it as a factor per frequency). */
export interface RopeScaling {
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalContextLength: number;
}

/** Hyperparameters of a decoder-only transformer, independent of the file they were read from. */
export interface ModelConfig {
  architecture: 'llama' | 'qwen2' | 'qwen3';
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
  ropeScaling?: RopeScaling;
  /** q, k and v have a bias (Qwen2). */
  qkvBias: boolean;
  /** q and k are RMS-normed per head before the rotation (Qwen3). */
  qkNorm: boolean;
  /** The output matrix is the embedding matrix. */
  tiedEmbeddings: boolean;
  /**
   * Which two components of a head a rotation turns: `interleaved` (2i, 2i+1) as in GGUF files of the Llama family,
   * whose q and k rows were permuted for it, or `half` (i, i + headDim/2).
   */
  ropeLayout: 'interleaved' | 'half';
}
