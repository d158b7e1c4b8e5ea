/** Reranking, in the shapes that Jina's, Cohere's and llama.cpp's servers share. */
import type { AnsweredBy } from './responses.ts';

export interface RerankRequest {
  query: string;
  documents: string[];
  /** Of the best ones; default: all. */
  top_n?: number;
  /** Whether results hold the documents' texts; default: false. */
  return_documents?: boolean;
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
