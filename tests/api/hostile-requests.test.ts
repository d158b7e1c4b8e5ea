import { expect, test } from 'vitest';
import { parseEmbeddingRequest } from '../../src/api/embeddings.ts';
import { parseEngineOptions } from '../../src/api/options.ts';
import { type ChatCompletionRequest, parseChatRequest } from '../../src/api/requests.ts';
import { parseRerankRequest } from '../../src/api/rerank.ts';
import { send } from '../fuzz/requests.ts';
import { expectError } from '../support/expect-error.ts';

const messages = [{ role: 'user', content: 'Hi' }];
const nested = (depth: number): unknown => JSON.parse('{"a":'.repeat(depth) + '1' + '}'.repeat(depth));
const parse = (fields: object) =>
  parseChatRequest({ messages, ...fields } as ChatCompletionRequest, { toolFormat: 'hermes', opensReasoning: false });
const tool = (parameters: unknown) => ({ tools: [{ type: 'function', function: { name: 'f', parameters } }] });
const call = (text: string) => ({
  messages: [
    { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: text } }] },
  ],
});

// At a depth of 5,000, a template's tojson and structured cloning run out of stack.
test.each<[string, object, string, RegExp]>([
  ['parameters of a tool', tool(nested(5000)), 'tools[0].function.parameters', /nested more than 256 deep/],
  [
    'arguments of a call',
    call(JSON.stringify(nested(2000))),
    'messages[0].tool_calls[0].function.arguments',
    /nested more than 256 deep/,
  ],
  [
    'a schema',
    { response_format: { type: 'json_schema', json_schema: { schema: nested(2000) } } },
    'response_format.json_schema.schema',
    /nested more than 256 deep/,
  ],
  ['a stop string of 5,000 characters', { stop: ['x'.repeat(5000)] }, 'stop', /at most 4096/],
])('refuses %s by name', (_, fields, field, reason) =>
  expectError(() => parse(fields), 'bad_request', { field, reason }),
);

/** The longest possible array, without entries. */
const endless = new Array<never>(2 ** 32 - 1);
const schema = (value: unknown) => ({ response_format: { type: 'json_schema', json_schema: { schema: value } } });

test.each<[string, () => unknown]>([
  ['messages', () => parse({ messages: endless })],
  ['messages[0].content', () => parse({ messages: [{ role: 'user', content: endless }] })],
  ['messages[0].tool_calls', () => parse({ messages: [{ role: 'assistant', tool_calls: endless }] })],
  ['tools', () => parse({ tools: endless })],
  ['tools[0].function.parameters', () => parse(tool({ type: 'object', required: endless }))],
  ['stop', () => parse({ stop: endless })],
  ['adapter', () => parse({ adapter: endless })],
  ['response_format.json_schema.schema', () => parse(schema({ enum: endless }))],
  ['response_format.json_schema.schema', () => parse(schema({ enum: new Uint8Array(2 ** 21) }))],
  ['plan', () => parse({ plan: { tokens: endless, complexity: [], chunks: [], table: [] } })],
  ['input', () => parseEmbeddingRequest({ input: endless })],
  ['input[0]', () => parseEmbeddingRequest({ input: [endless] })],
  ['documents', () => parseRerankRequest({ query: 'a', documents: endless })],
  ['model', () => parseEngineOptions({ model: endless }, (text) => new URL(text, 'http://localhost/'))],
])('refuses %s with a length of billions without counting the entries', (field, check) =>
  expectError(check, 'bad_request', { field, reason: /at most/ }),
);

test('refuses any array as logit_bias', () =>
  expectError(() => parse({ logit_bias: new Float32Array(4) }), 'bad_request', {
    field: 'logit_bias',
    reason: /object/,
  }));

test('refuses holes in an array by name', async () => {
  const holed: unknown[] = [];
  [holed[0], holed[2]] = [messages[0], messages[0]];
  await expectError(() => parse({ messages: holed }), 'bad_request', { field: 'messages[1]', reason: /missing/ });
});

test('reads a plan with more chunks than a function can take arguments', () => {
  const count = 200_000;
  const each = <T>(make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
  const plan = {
    tokens: each(() => 1),
    complexity: each(() => 0),
    chunks: each((i) => ({ start: i, end: i + 1, complexity: 0, level: 0, scale: 1 })),
    table: each(() => ({ levelLo: 0, levelHi: 0, wLo: 1, wHi: 0 })),
    ladder: null,
    levels: null,
  };
  expect(parse({ plan }).options.plan?.chunks).toHaveLength(count);
});

test('accepts parameters of 200 levels', () => expect(parse(tool(nested(200))).tools).toHaveLength(1));

test.each([
  ['POST', 'constructor'],
  ['POST', '__proto__'],
  ['POST', 'toString'],
  ['GET', 'models/%E0%A4%A'],
  ['GET', 'models/%ff'],
])('%s /v1/%s has a typed error', (method, path) => send(method, path, '{}'));
