import {
  checkInteger,
  checkList,
  checked,
  describe,
  refuse,
  checkFilled,
  fieldsOf,
  checkFilledList,
} from './checks.ts';
import { parseAdapters, type AdapterRequest } from './adapters.ts';
import type { RemoteEngine } from '../../workers/protocol.ts';
import type { AnsweredBy } from './responses.ts';
/** Embeddings, in OpenAI's shapes. */

export interface EmbeddingRequest {
  /** A text or several; or the tokens of one text or of several. */
  input: string | string[] | number[] | number[][];
  /** No effect: an engine has one model. `engine.fetch` answers with the adapter of that name. Default: the engine's. */
  model?: string;
  /** `base64`: little-endian float32 values. Default: `float`. */
  encoding_format?: 'float' | 'base64';
  /** A loaded adapter to compute with, or the sum of several, with all ranks. Default: none. */
  adapter?: string | AdapterRequest[];
  /** Accepted without effect. */
  user?: string;
}

export interface EmbeddingResponse {
  object: 'list';
  model: string;
  /** `embedding [hiddenSize]`: numbers, or base64 if asked for. */
  data: { object: 'embedding'; index: number; embedding: number[] | string }[];
  usage: { prompt_tokens: number; total_tokens: number };
  chunkwise: { answeredBy: AnsweredBy };
}

/** Errors: `bad_request`, naming the field, and those of the engine. */
export async function embed(
  engine: Pick<RemoteEngine, 'embed'>,
  model: string,
  request: EmbeddingRequest,
  signal: AbortSignal | undefined,
): Promise<EmbeddingResponse> {
  const { inputs, adapters, isBase64 } = checked('request', () => parseEmbeddingRequest(request));
  const data: EmbeddingResponse['data'] = [];
  let tokens = 0;
  for await (const { vector, tokens: count } of engine.embed(inputs, { adapters, signal })) {
    data.push({ object: 'embedding', index: data.length, embedding: isBase64 ? base64(vector) : [...vector] });
    tokens += count;
  }
  return {
    object: 'list',
    model,
    data,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    chunkwise: { answeredBy: 'device' },
  };
}

const FIELDS = ['input', 'encoding_format', 'adapter', 'model', 'user', 'dimensions'];

export function parseEmbeddingRequest(request: unknown) {
  const { input, encoding_format: format, adapter, dimensions } = fieldsOf(request, 'request', FIELDS);
  if (dimensions !== undefined) refuse('dimensions', 'cannot be chosen: the model determines them');
  if (![undefined, 'float', 'base64'].includes(format as undefined))
    refuse('encoding_format', `must be float or base64, but is ${describe(format)}`);
  return { inputs: parseInput(input), adapters: parseAdapters(adapter), isBase64: format === 'base64' };
}

function parseInput(input: unknown): (string | readonly number[])[] {
  if (typeof input === 'string') return [checkFilled(input, 'input')];
  const list = checkFilledList(input, 'input', 'a string or an array');
  if (typeof list[0] === 'number') return [parseTokens(list, 'input')];
  return list.map((each, i) => {
    const at = `input[${i}]`;
    if (Array.isArray(each)) return parseTokens(each, at);
    if (typeof each !== 'string') refuse(at, `must be a string or an array of tokens, but is ${describe(each)}`);
    return checkFilled(each, at);
  });
}

const parseTokens = (tokens: unknown[], at: string): number[] =>
  checkList(tokens, at).map((token, i) => checkInteger(token, `${at}[${i}]`, 0));

/** Encodes float32 values, which are little-endian on every platform with WebGPU. */
function base64(vector: Float32Array): string {
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
