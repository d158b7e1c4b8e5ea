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
  /** Positions are divided by this before the rotation (linear context extension, arXiv 2306.15595). */
  ropeLinearScale?: number;
  /** q, k and v have a bias (Qwen2, and Llama files that carry one). */
  qkvBias: boolean;
  /** q and k are RMS-normed per head before the rotation (Qwen3). */
  qkNorm: boolean;
  /** The output matrix is the embedding matrix. */
  tiedEmbeddings: boolean;
  /**
   * Which two components of a head a rotation turns: `interleaved` (2i, 2i+1) as in GGUF files of the Llama family,
   * whose q and k rows were permuted for it, or `half` (i, i + headDim/2), as in all others and in safetensors.
   */
  ropeLayout: 'interleaved' | 'half';
}
