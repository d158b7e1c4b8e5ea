import type { DocumentScore } from '../engine/types.ts';
import { isRecord } from '../config/is-record.ts';
import { checkBoolean, checkInteger, checkList, checked, describe, refuse } from './checks.ts';
import type { RerankRequest, RerankResponse } from './types.ts';
import type { EngineClient } from './engine-client.ts';

const FIELDS = ['query', 'documents', 'top_n', 'return_documents', 'model', 'user'];

/** Errors: `bad_request`, naming the field, and those of the engine. */
export async function rerank(
  client: EngineClient,
  model: string,
  request: RerankRequest,
  signal: AbortSignal | undefined,
): Promise<RerankResponse> {
  const { query, documents, mostResults, returnsDocuments } = checked('request', () => parseRerankRequest(request));
  const results: RerankResponse['results'] = [];
  let tokens = 0;
  const scored = client.stream<DocumentScore>((calls, port) => calls.rerank(port, query, documents), signal);
  for await (const { score, tokens: count } of scored) {
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

export function parseRerankRequest(request: unknown) {
  if (!isRecord(request)) refuse('request', `must be an object, but is ${describe(request)}`);
  for (const [name, value] of Object.entries(request)) {
    if (value !== undefined && value !== null && !FIELDS.includes(name)) refuse(name, 'is not a field of this request');
  }
  const { documents, top_n: most, return_documents: returns } = request;
  const list = checkList(documents, 'documents', 'an array of strings');
  if (list.length === 0) refuse('documents', 'is empty');
  return {
    query: parseText(request['query'], 'query'),
    documents: list.map((document, i) => parseText(document, `documents[${i}]`)),
    mostResults: most === undefined || most === null ? list.length : checkInteger(most, 'top_n', 1),
    returnsDocuments: returns === undefined || returns === null ? false : checkBoolean(returns, 'return_documents'),
  };
}

function parseText(text: unknown, at: string): string {
  if (typeof text !== 'string') refuse(at, `must be a string, but is ${describe(text)}`);
  return text === '' ? refuse(at, 'is empty') : text;
}
