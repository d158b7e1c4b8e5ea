import type { EmbeddingInput } from '../../workers/protocol.ts';
import type { TextEmbedding } from '../engine/types.ts';
import { isRecord } from '../config/is-record.ts';
import { checkInteger, checkList, checked, describe, refuse } from './checks.ts';
import { parseAdapters } from './requests.ts';
import type { EmbeddingRequest, EmbeddingResponse } from './types.ts';
import type { EngineClient } from './engine-client.ts';

const FIELDS = ['input', 'encoding_format', 'adapter', 'model', 'user'];

/** Errors: `bad_request`, naming the field, and those of the engine. */
export async function embed(
  client: EngineClient,
  model: string,
  request: EmbeddingRequest,
  signal: AbortSignal | undefined,
): Promise<EmbeddingResponse> {
  const { inputs, adapters, isBase64 } = checked('request', () => parseEmbeddingRequest(request));
  const data: EmbeddingResponse['data'] = [];
  let tokens = 0;
  const embedded = client.stream<TextEmbedding>((calls, port) => calls.embed(port, inputs, { adapters }), signal);
  for await (const { vector, tokens: count } of embedded) {
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

export function parseEmbeddingRequest(request: unknown) {
  if (!isRecord(request)) refuse('request', `must be an object, but is ${describe(request)}`);
  const { input, encoding_format: format, adapter, dimensions } = request;
  if (dimensions !== undefined && dimensions !== null)
    refuse('dimensions', 'cannot be chosen: they are those of the model');
  for (const [name, value] of Object.entries(request)) {
    if (value !== undefined && value !== null && !FIELDS.includes(name)) refuse(name, 'is not a field of this request');
  }
  if (![undefined, null, 'float', 'base64'].includes(format as null)) {
    refuse('encoding_format', `must be float or base64, but is ${describe(format)}`);
  }
  return { inputs: parseInput(input), adapters: parseAdapters(adapter ?? undefined), isBase64: format === 'base64' };
}

function parseInput(input: unknown): EmbeddingInput[] {
  if (typeof input === 'string') return [input === '' ? refuse('input', 'is empty') : input];
  const list = checkList(input, 'input', 'a string or an array');
  if (list.length === 0) refuse('input', 'is empty');
  if (typeof list[0] === 'number') return [parseTokens(list, 'input')];
  return list.map((each, i) => {
    const at = `input[${i}]`;
    if (Array.isArray(each)) return parseTokens(each, at);
    if (typeof each !== 'string') refuse(at, `must be a string or an array of tokens, but is ${describe(each)}`);
    return each === '' ? refuse(at, 'is empty') : each;
  });
}

const parseTokens = (tokens: unknown[], at: string): number[] =>
  checkList(tokens, at).map((token, i) => checkInteger(token, `${at}[${i}]`, 0));

/** Of little-endian float32 values, as typed arrays hold them wherever WebGPU runs. */
function base64(vector: Float32Array): string {
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
