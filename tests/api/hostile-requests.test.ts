import { expect, test } from 'vitest';
import { parseChatRequest } from '../../src/api/requests.ts';
import type { ChatCompletionRequest } from '../../src/api/types.ts';
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

// 5,000 deep, a template's tojson and what sends it to the worker run out of stack.
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
])('%s: refused by name', (_, fields, field, reason) =>
  expectError(() => parse(fields), 'bad_request', { field, reason }),
);

test('parameters of 200 levels are taken', () => expect(parse(tool(nested(200))).tools).toHaveLength(1));

test.each([
  ['POST', 'constructor'],
  ['POST', '__proto__'],
  ['POST', 'toString'],
  ['GET', 'models/%E0%A4%A'],
  ['GET', 'models/%ff'],
])('%s /v1/%s has a typed error', (method, path) => send(method, path, '{}'));
