import { describe, expect, it } from 'vitest';
import { describeError, HttpError } from '../../../src/api/http/http-error.ts';
import { baseId } from '../../../src/api/http/serve.ts';
import { ChunkwiseError, type ErrorCode } from '../../../src/errors/chunkwise-error.ts';

describe('an error', () => {
  it.each<[ErrorCode, number, string, string]>([
    ['bad_request', 400, 'invalid_request_error', 'bad_request'],
    ['unsupported', 400, 'invalid_request_error', 'unsupported'],
    ['context_overflow', 400, 'invalid_request_error', 'context_length_exceeded'],
    ['queue_full', 429, 'rate_limit_error', 'queue_full'],
    ['aborted', 499, 'invalid_request_error', 'aborted'],
    ['device_lost', 503, 'server_error', 'device_lost'],
    ['disposed', 503, 'server_error', 'disposed'],
  ])('%s has status %i', (code, status, type, told) => {
    const described = describeError(new ChunkwiseError(code, { field: 'top_p', reason: 'no' }));
    expect(described).toMatchObject({
      status,
      body: { error: { message: 'top_p: no', type, param: 'top_p', code: told } },
    });
  });

  it('of a route keeps its status; any other error has status 500', () => {
    const route = new HttpError(405, 'method_not_allowed', null, 'no', { allow: 'GET' });
    expect(describeError(route)).toMatchObject({
      status: 405,
      headers: { allow: 'GET' },
      body: { error: { code: 'method_not_allowed' } },
    });
    expect(describeError(new TypeError('oh'))).toMatchObject({
      status: 500,
      body: { error: { code: 'internal_error', message: 'oh' } },
    });
  });
});

it.each([
  ['https://example.com/models/SmolLM2-135M.Q4_1.gguf?download=true', 'SmolLM2-135M.Q4_1'],
  ['tiny.gguf', 'tiny'],
  ['HuggingFaceTB/SmolLM2-135M-Instruct', 'HuggingFaceTB/SmolLM2-135M-Instruct'],
])('%s is the model %s', (model, id) => expect(baseId(model)).toBe(id));
