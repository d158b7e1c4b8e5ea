import { describe, expect, it } from 'vitest';
import { parseChat } from '../../../src/api/chat/parse-chat.ts';
import { joinDeltas } from '../../../src/api/responses.ts';
import type { ChatTraits } from '../../../src/tokenizer/chat-traits.ts';
import { expectError } from '../../support/expect-error.ts';

const user = { role: 'user', content: 'Hi' };
const tool = (name: string) => ({ type: 'function', function: { name } });
const called = (fields: object) => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id: 'abcdefghi', type: 'function', function: { name: 'f', arguments: '{"n": 1}' }, ...fields }],
});

const parse = (fields: Record<string, unknown>, traits: Partial<ChatTraits> = { toolFormat: 'hermes' }) =>
  parseChat({ messages: [user], ...fields }, { opensReasoning: false, ...traits });

describe('messages', () => {
  it('hold calls and their results, with arguments as JSON', () => {
    const answer = {
      role: 'tool',
      content: [
        { type: 'text', text: '2' },
        { type: 'text', text: '0' },
      ],
      tool_call_id: 'abcdefghi',
    };
    expect(parse({ messages: [{ ...user, role: 'developer' }, called({}), answer] }).messages).toEqual([
      { role: 'system', content: 'Hi' },
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'abcdefghi', type: 'function', function: { name: 'f', arguments: { n: 1 } } }],
      },
      { role: 'tool', content: '20', tool_call_id: 'abcdefghi' },
    ]);
  });

  it('have calls in their text for templates that show only text', () => {
    const values = { city: 'Pa"ris', days: [1, 2.5], live: true, none: null, deep: { a: false } };
    const given = called({ function: { name: 'f', arguments: JSON.stringify(values) } });
    expect(parse({ messages: [{ ...given, content: 'So.' }, called({})] }, { toolFormat: 'lfm2' }).messages).toEqual([
      {
        role: 'assistant',
        content: String.raw`<|tool_call_start|>[f(city="Pa\"ris", days=[1, 2.5], live=True, none=None, deep={"a": False})]<|tool_call_end|>So.`,
      },
      { role: 'assistant', content: '<|tool_call_start|>[f(n=1)]<|tool_call_end|>' },
    ]);
  });

  it('stay unchanged for templates that show calls', () => {
    const { messages } = parse({ messages: [called({})] }, { toolFormat: 'lfm2', showsCalls: true });
    expect(messages).toMatchObject([{ content: '', tool_calls: [{}] }]);
  });

  it('have results in the turn that called, for templates that expect them there', () => {
    const other = { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } };
    const call = { ...called({}), tool_calls: [...called({}).tool_calls, other] };
    const result = (content: string, id?: string, name?: string) => ({
      role: 'tool',
      content,
      ...(id && { tool_call_id: id }),
      ...(name && { name }),
    });
    const given = [
      call,
      result('{"n": 2}', 'b'),
      result('[1]', 'abcdefghi'),
      result('20', undefined, 'h'),
      result('', 'zzz'),
      user,
      result('late', 'b'),
    ];
    expect(parse({ messages: given }, { toolFormat: 'gemma4', showsCalls: true }).messages).toMatchObject([
      {
        role: 'assistant',
        tool_calls: [{}, {}],
        tool_responses: [
          { name: 'g', response: { n: 2 } },
          { name: 'f', response: '[1]' },
          { name: 'h', response: '20' },
          { name: 'unknown', response: '' },
        ],
      },
      { role: 'user' },
      { role: 'tool', content: 'late' },
    ]);
  });

  it.each([
    [{ role: 'user', content: null }, 'content'],
    [{ role: 'user', content: [{ type: 'image_url' }] }, 'content[0]'],
    [{ role: 'user', content: [{ type: 'text', text: 1 }] }, 'content[0].text'],
    [{ ...called({}), role: 'user' }, 'tool_calls'],
    [{ role: 'assistant', content: '', tool_calls: {} }, 'tool_calls'],
    [called({ id: 1 }), 'tool_calls[0].id'],
    [called({ function: { name: 'f', arguments: '{' } }), 'tool_calls[0].function.arguments'],
    [called({ function: { name: 'f', arguments: '[]' } }), 'tool_calls[0].function.arguments'],
    [called({ function: { arguments: '{}' } }), 'tool_calls[0].function.name'],
    [{ role: 'tool', content: '', tool_call_id: 1 }, 'tool_call_id'],
  ])('%j are refused for %s', async (message, field) => {
    await expectError(() => parse({ messages: [message] }), 'bad_request', { field: `messages[0].${field}` });
  });
});

describe('tools', () => {
  it('always have a description and parameters for the template', () => {
    const empty = { type: 'object', properties: {} };
    expect(parse({ tools: [tool('f')] }).tools).toEqual([
      { type: 'function', function: { name: 'f', description: '', parameters: empty } },
    ]);
  });

  it('are not shown to the model if it may call none', () => {
    expect(parse({ tools: [tool('f')], tool_choice: 'none' }).tools).toEqual([]);
  });

  it.each([
    [{ tools: {} }, 'tools'],
    [{ tools: [{ type: 'code' }] }, 'tools[0].type'],
    [{ tools: [{ type: 'function', function: {} }] }, 'tools[0].function.name'],
    [{ tools: [{ type: 'function', function: { name: 'f', parameters: [] } }] }, 'tools[0].function.parameters'],
    [{ tools: [tool('f')], tool_choice: 'maybe' }, 'tool_choice'],
    [{ tools: [tool('f')], tool_choice: tool('g') }, 'tool_choice'],
    [{ tool_choice: 'required' }, 'tool_choice'],
  ])('%j are refused for %s', async (fields, field) => {
    await expectError(() => parse(fields), 'bad_request', { field });
  });

  it.each([
    [{ tools: [tool('f')] }, 'tools'],
    [{ messages: [user, called({})] }, 'messages[1].tool_calls'],
  ])('%j are unsupported where the template knows none: %s', async (fields, field) => {
    await expectError(() => parse(fields, {}), 'unsupported', { field });
  });

  it('restrict calls to their schemas, without arguments that the schemas do not name', () => {
    const given = (parameters: object, more: object = {}) =>
      parse({ tools: [{ type: 'function', function: { name: 'f', parameters, ...more } }] }).callFormat;
    const named = { type: 'object', properties: { a: {} } };
    const tools = [{ name: 'f', parameters: { ...named, additionalProperties: false }, strict: false }];
    expect(given(named)).toEqual({ type: 'tool_calls', notation: 'hermes', tools, opensReasoning: false });
    expect(given(named, { strict: true })).toMatchObject({ tools: [{ strict: true }] });
    for (const open of [
      { type: 'object' },
      { ...named, additionalProperties: true },
      { ...named, patternProperties: {} },
      { ...named, allOf: [{}] },
    ])
      expect(given(open)).toMatchObject({ tools: [{ parameters: open }] });
    expect(parse({}).callFormat).toBeUndefined();
    expect(parse({ tools: [tool('f')], response_format: { type: 'json_object' } }).callFormat).toBeUndefined();
    expect(parse({ tools: [tool('f')], tool_choice: 'none' }).callFormat).toBeUndefined();
  });

  it('restrict the answer to calls if a call is required', async () => {
    const f = {
      type: 'object',
      properties: {
        name: { const: 'f' },
        arguments: { $id: 'f', type: 'object', properties: {}, additionalProperties: false },
      },
      required: ['name', 'arguments'],
      additionalProperties: false,
    };
    const named = parse({ tools: [tool('f'), tool('g')], tool_choice: tool('f') });
    expect(named.callFormat).toEqual({ type: 'json_schema', schema: f });
    expect(named.tools.map((each) => each.function.name)).toEqual(['f']);
    const { callFormat } = parse({ tools: [tool('f'), tool('g')], tool_choice: 'required' });
    expect(callFormat).toMatchObject({ schema: { anyOf: [f, { properties: { name: { const: 'g' } } }] } });
    await expectError(
      () => parse({ tools: [tool('f')], tool_choice: 'required', response_format: { type: 'json_object' } }),
      'bad_request',
      { field: 'response_format' },
    );
  });

  it('read a required call; if it is cut off, as text', async () => {
    const { newReader } = parse({ tools: [tool('f')], tool_choice: 'required' });
    const json = '{"name": "f", "arguments": {"n": 1}}';
    const read = async (text: string) => {
      const reader = await newReader();
      const message = joinDeltas([...[...text].flatMap((piece) => reader.push(piece)), ...reader.flush()]);
      return { message, reason: reader.finishReason('stop') };
    };
    expect(await read(json)).toMatchObject({
      message: { content: null, tool_calls: [{ type: 'function', function: { name: 'f', arguments: '{"n": 1}' } }] },
      reason: 'tool_calls',
    });
    expect((await read(json.slice(0, 20))).message).toEqual({ role: 'assistant', content: json.slice(0, 20) });
  });
});
