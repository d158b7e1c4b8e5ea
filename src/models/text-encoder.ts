import type { EncoderConfig } from '../config/encoder-config.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Classifier } from './classifier.ts';

/** What an encoder's forward pass begins with and ends in, for a batch's T tokens of at most T texts. */
export interface TextActivations {
  /** Ids, u32 `[T]`. */
  tokens: GPUBuffer;
  /** Of each token its place in `tokens`, its row of the positions, its text's first token and how many that has: u32 `[T, 4]`. */
  batchTable: GPUBuffer;
  /** The tokens whose mean is a text's vector, by their first one and how many: u32 `[T, 2]`. */
  spans: GPUBuffer;
  /** A vector a text, f32 `[T, hiddenSize]`. */
  pooled: GPUBuffer;
}

/** An encoder on the GPU, of any kind. */
export interface TextEncoder {
  readonly config: EncoderConfig;
  /** Most tokens of a batch. */
  readonly batchTokens: number;
  readonly activations: TextActivations;
  /** Of a cross-encoder, what makes a score of a vector in `pooled`. */
  readonly classifier: Classifier | undefined;
  /**
   * From what `tokens`, `batchTable` and `spans` hold to the last states and a vector for each text in `pooled`. A submission a
   * layer: none of them is long.
   */
  forward(recorder: Recorder, tokens: number, texts: number): void;
}
