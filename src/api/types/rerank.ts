/** Reranking, in the shapes that Jina's, Cohere's and llama.cpp's servers share. */
import type { AnsweredBy } from './responses.ts';

export interface RerankRequest {
  query: string;
  documents: string[];
  /** Of no effect: an engine has one model. Default: the engine's. */
  model?: string;
  /** How many of the best are told. Default: all. */
  top_n?: number;
  /** Whether results hold the documents' texts. Default: false. */
  return_documents?: boolean;
  /** Taken and of no effect. */
  user?: string;
}

export interface RerankResponse {
  model: string;
  /** Of all documents, each with its query. */
  usage: { prompt_tokens: number; total_tokens: number };
  /**
   * The best first. `index`: in the request. `relevance_score`: what the model's classifier gives, of any size and sign, as
   * transformers and llama.cpp have it; 1 / (1 + e^-score) lies between 0 and 1.
   */
  results: { index: number; relevance_score: number; document?: { text: string } }[];
  chunkwise: { answeredBy: AnsweredBy };
}
