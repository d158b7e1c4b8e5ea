import { describe, expect, it } from 'vitest';
import { optionsOfChoices } from '../../src/api/completions.ts';
import { parseChatRequest, parseCompletionRequest } from '../../src/api/requests.ts';
import type { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';

const chat = (fields: object) =>
  parseChatRequest({ messages: [{ role: 'user', content: 'Hi' }], ...fields }, { opensReasoning: false });
const text = (fields: object) => parseCompletionRequest({ prompt: 'Hi', ...fields });

function refusedField(parse: () => unknown): string | undefined {
  try {
    parse();
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad_request' });
    return (error as ChunkwiseError).detail.field;
  }
  return undefined;
}

describe('response_format', () => {
  it("accepts OpenAI's formats and grammars", () => {
    const formatOf = (response_format: unknown) => chat({ response_format }).options.responseFormat;
    expect(chat({}).options).not.toHaveProperty('responseFormat');
    expect(formatOf({ type: 'text' })).toBeUndefined();
    expect(formatOf({ type: 'json_object' })).toEqual({ type: 'json_object' });
    const schema = { type: 'object', properties: { b: {}, a: {} } };
    const format = { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } };
    expect(formatOf(format)).toEqual({ type: 'json_schema', schema, strict: true });
    expect(JSON.stringify(formatOf(format))).toContain('"b":{},"a":{}'); // properties keep their order
    expect(formatOf({ type: 'json_schema', json_schema: { name: 'x' } })).toEqual({
      type: 'json_schema',
      schema: { type: 'object' },
    });
    expect(formatOf({ type: 'grammar', grammar: 'root ::= "a"' })).toEqual({
      type: 'grammar',
      grammar: 'root ::= "a"',
      syntax: 'ebnf',
    });
    expect(formatOf({ type: 'grammar', grammar: 'start: "a"' })).toMatchObject({ syntax: 'lark' });
    expect(formatOf({ type: 'grammar', grammar: 'a+', syntax: 'regex' })).toMatchObject({ syntax: 'regex' });
    const tag = { type: 'structural_tag', format: { type: 'any_text' } };
    expect(formatOf(tag)).toEqual({ type: 'structural_tag', tag });
    expect(text({ response_format: { type: 'json_object' } }).options.responseFormat).toEqual({ type: 'json_object' });
  });

  it("accepts vLLM's structured_outputs", () => {
    const formatOf = (structured_outputs: unknown) => chat({ structured_outputs }).options.responseFormat;
    const schema = { type: 'null' };
    expect(formatOf({ json: schema })).toEqual({ type: 'json_schema', schema, field: 'structured_outputs.json' });
    const regex = { type: 'grammar', grammar: 'a+', syntax: 'regex', field: 'structured_outputs.regex' };
    expect(formatOf({ regex: 'a+' })).toEqual(regex);
    const choices = ['yes', 'no'];
    expect(formatOf({ choice: choices })).toEqual({ type: 'choice', choices, field: 'structured_outputs.choice' });
    const json = { type: 'json_object' };
    for (const [fields, field] of [
      [{ structured_outputs: {} }, 'structured_outputs'],
      [{ structured_outputs: { yaml: '' } }, 'structured_outputs'],
      [{ structured_outputs: { regex: 'a', choice: ['a'] } }, 'structured_outputs'],
      [{ structured_outputs: { choice: [1] } }, 'structured_outputs.choice[0]'],
      [{ structured_outputs: { regex: 'a' }, response_format: json }, 'structured_outputs'],
    ] as const)
      expect(refusedField(() => chat(fields))).toBe(field);
  });

  it('refuses an invalid format, naming the part', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    for (const [response_format, field] of [
      [{ type: 'xml' }, 'response_format.type'],
      [{}, 'response_format.type'],
      [{ type: 'json_schema' }, 'response_format.json_schema'],
      [{ type: 'json_schema', json_schema: { schema: circle } }, 'response_format.json_schema.schema'],
      [{ type: 'grammar' }, 'response_format.grammar'],
      [{ type: 'grammar', grammar: '', syntax: 'abnf' }, 'response_format.syntax'],
    ] as const) {
      expect(refusedField(() => chat({ response_format }))).toBe(field);
    }
  });
});

describe('log-probabilities', () => {
  it('have one form in chats and one in completions', () => {
    expect(chat({}).options).not.toHaveProperty('topLogprobs');
    expect(chat({ logprobs: false }).options).not.toHaveProperty('topLogprobs');
    expect(chat({ logprobs: true }).options.topLogprobs).toBe(0);
    expect(chat({ logprobs: true, top_logprobs: 20 }).options.topLogprobs).toBe(20);
    expect(text({ logprobs: 3 }).options.topLogprobs).toBe(3);
    expect(refusedField(() => chat({ logprobs: true, top_logprobs: 21 }))).toBe('top_logprobs');
    expect(refusedField(() => chat({ logprobs: false, top_logprobs: 2 }))).toBe('top_logprobs');
    expect(refusedField(() => text({ logprobs: true }))).toBe('logprobs');
    expect(refusedField(() => text({ top_logprobs: 2 }))).toBe('top_logprobs');
  });
});

describe('n', () => {
  it('gives each answer the next seed', () => {
    expect(chat({}).choices).toBe(1);
    const { options, choices } = chat({ n: 3, seed: 2 ** 32 - 1 });
    expect(choices).toBe(3);
    expect(optionsOfChoices(options, choices).map(({ sampling }) => sampling.seed)).toEqual([2 ** 32 - 1, 0, 1]);
  });
});

it('prefers max_completion_tokens, and accepts fields without effect', () => {
  expect(chat({ max_completion_tokens: 5 }).options.maxTokens).toBe(5);
  expect(chat({ max_completion_tokens: 5, max_tokens: 9 }).options.maxTokens).toBe(5);
  const idle = { user: 'u', store: true, metadata: { a: 'b' }, service_tier: 'auto', parallel_tool_calls: true };
  const { options } = chat({ seed: 1, ...idle });
  expect(options).toEqual(chat({ seed: 1 }).options);
  expect(text({ seed: 1, echo: false, best_of: 1, suffix: '' }).options).toEqual(text({ seed: 1 }).options);
});
