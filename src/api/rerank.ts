import { checkBoolean, checkInteger, checked, checkFilled, fieldsOf, checkFilledList } from './checks.ts';
import type { RemoteEngine } from '../../workers/protocol.ts';
import type { AnsweredBy } from './responses.ts';
/** Reranking, in the shapes that the servers of Jina, Cohere and llama.cpp share. */

export interface RerankRequest {
  query: string;
  documents: string[];
  /** No effect: an engine has one model. Default: the engine's. */
  model?: string;
  /** Maximum number of results. Default: all documents. */
  top_n?: number;
  /** Adds the documents' texts to the results. Default: false. */
  return_documents?: boolean;
  /** Accepted without effect. */
  user?: string;
}

export interface RerankResponse {
  model: string;
  /** Tokens of all documents, each with its query. */
  usage: { prompt_tokens: number; total_tokens: number };
  /**
   * Best first. `index`: the document's place in the request. `relevance_score`: output of the model's classifier, any real
   * number, as transformers and llama.cpp give it; 1 / (1 + e^-score) lies between 0 and 1.
   */
  results: { index: number; relevance_score: number; document?: { text: string } }[];
  chunkwise: { answeredBy: AnsweredBy };
}

/** Errors: `bad_request`, naming the field, and those of the engine. */
export async function rerank(
  engine: Pick<RemoteEngine, 'rerank'>,
  model: string,
  request: RerankRequest,
  signal: AbortSignal | undefined,
): Promise<RerankResponse> {
  const { query, documents, mostResults, returnsDocuments } = checked('request', () => parseRerankRequest(request));
  const results: RerankResponse['results'] = [];
  let tokens = 0;
  for await (const { score, tokens: count } of engine.rerank(query, documents, { signal })) {
    const index = results.length;
    results.push({
      index,
      relevance_score: score,
      ...(returnsDocuments && { document: { text: documents[index] ?? '' } }),
    });
    tokens += count;
  }
  const best = results.sort((a, b) => b.relevance_score - a.relevance_score).slice(0, mostResults);
  return {
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    results: best,
    chunkwise: { answeredBy: 'device' },
  };
}

const FIELDS = ['query', 'documents', 'top_n', 'return_documents', 'model', 'user'];

export function parseRerankRequest(request: unknown) {
  const { query, documents, top_n: most, return_documents: returns } = fieldsOf(request, 'request', FIELDS);
  const list = checkFilledList(documents, 'documents', 'an array of strings');
  return {
    query: checkFilled(query, 'query'),
    documents: list.map((document, i) => checkFilled(document, `documents[${i}]`)),
    mostResults: most === undefined ? list.length : checkInteger(most, 'top_n', 1),
    returnsDocuments: checkBoolean(returns, 'return_documents'),
  };
}
