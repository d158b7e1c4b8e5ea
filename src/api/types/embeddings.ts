/** Embeddings, in OpenAI's shapes. */
import type { AdapterRequest } from './requests.ts';
import type { AnsweredBy } from './responses.ts';

export interface EmbeddingRequest {
  /** A text, or texts; or the tokens of one, or of each. */
  input: string | string[] | number[] | number[][];
  /** Of no effect: an engine has one model. `engine.fetch` answers with the adapter of that name. Default: the engine's. */
  model?: string;
  /** `base64`: of float32 values, little-endian. Default: `float`. */
  encoding_format?: 'float' | 'base64';
  /** A loaded adapter to compute with, or several, summed; all of their ranks are taken. Default: none. */
  adapter?: string | AdapterRequest[];
  /** Taken and of no effect. */
  user?: string;
}

export interface EmbeddingResponse {
  object: 'list';
  model: string;
  /** `embedding [hiddenSize]`: numbers, or base64 where that was asked for. */
  data: { object: 'embedding'; index: number; embedding: number[] | string }[];
  usage: { prompt_tokens: number; total_tokens: number };
  chunkwise: { answeredBy: AnsweredBy };
}
