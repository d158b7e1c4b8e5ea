import { expect, it } from 'vitest';
import { parseEmbeddingRequest } from '../../src/api/embeddings.ts';
import { expectError } from '../support/expect-error.ts';

it.each([
  ['a', ['a']],
  [
    ['a', 'b'],
    ['a', 'b'],
  ],
  [[1, 2], [[1, 2]]],
  [
    [[1, 2], [3]],
    [[1, 2], [3]],
  ],
])('takes %j', (input, inputs) => {
  expect(parseEmbeddingRequest({ input, model: 'm', adapter: 'a' })).toEqual({
    inputs,
    adapters: [{ name: 'a', scale: 1 }],
    isBase64: false,
  });
});

it.each([
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: 5 }, 'input'],
  [{ input: ['a', ''] }, 'input[1]'],
  [{ input: ['a', 5] }, 'input[1]'],
  [{ input: [1, -1] }, 'input[1]'],
  [{ input: new Array(2) }, 'input[0]'],
  [{ input: [[1], new Array(2)] }, 'input[1][0]'],
  [{ input: [[1], [0.5]] }, 'input[1][0]'],
  [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
  [{ input: 'a', dimensions: 8 }, 'dimensions'],
  [{ input: 'a', temperature: 1 }, 'temperature'],
])('refuses %j for %s', async (request, field) => {
  await expectError(() => parseEmbeddingRequest(request), 'bad_request', { field });
});
