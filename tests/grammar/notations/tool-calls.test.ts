import { expect, test } from 'vitest';
import { AnswerReader } from '../../../src/api/chat/answer-reader.ts';
import type { Grammar } from '../../../src/grammar/grammar.ts';
import { type ToolCalls, toolCallGrammar } from '../../../src/grammar/notations/tool-calls.ts';
import type { ToolFormat } from '../../../src/tokenizer/chat-traits.ts';
import { Random } from '../../support/random.ts';
import { control, grammarOf, randomAnswer, refusalOf, verdict, wholeOf } from './answers.ts';

const WEATHER = {
  name: 'get_weather',
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string', minLength: 1, maxLength: 8 },
      days: { type: 'integer', minimum: 1 },
      metric: { type: ['boolean', 'null'] },
    },
    required: ['city'],
  },
};
const SHARE = {
  name: 'share',
  parameters: {
    properties: {
      to: { type: 'array', items: { enum: ['a"b', 'c\\d', 'é\n', '<|"|>', '<tool_call>'] }, minItems: 1, maxItems: 2 },
      about: { $ref: '#/$defs/topic' },
    },
    required: ['to'],
    $defs: {
      topic: {
        type: 'object',
        properties: { text: { pattern: '^[<>/]{1,3}$' }, more: { $ref: '#/$defs/topic' } },
        additionalProperties: false,
      },
    },
  },
};
const tools = [WEATHER, SHARE];

const grammar = (calls: Partial<ToolCalls> & { notation: ToolFormat }): Grammar =>
  grammarOf((builder) => toolCallGrammar({ tools, ...calls }, builder, control));

/** For each notation: the text that begins a call, a call, and calls that do not match their schemas. */
const NOTATIONS: [notation: ToolFormat, begin: string, call: string, wrong: string[]][] = [
  [
    'hermes',
    '<tool_call>',
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}\n</tool_call>',
    [
      '<tool_call>{"name": "get_weather", "arguments": {"days": 2}}</tool_call>',
      '<tool_call>{"name": "nope", "arguments": {}}</tool_call>',
      '<tool_call>{"arguments": {"city": "Rome"}, "name": "share"}</tool_call>',
    ],
  ],
  [
    'mistral',
    '[TOOL_CALLS]',
    '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Rome"}}, {"arguments": {"to": ["c\\\\d"]}, "name": "share"}]',
    ['[TOOL_CALLS][]', '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": ""}}]'],
  ],
  [
    'lfm2',
    '<|tool_call_start|>',
    '<|tool_call_start|>[get_weather(city="Rome", days=2, metric=None), share(to=["a\\"b"], about={"text": "<"})]<|tool_call_end|>',
    [
      '<|tool_call_start|>[get_weather(days=2)]<|tool_call_end|>',
      '<|tool_call_start|>[get_weather(city="Rome", days=0)]<|tool_call_end|>',
      '<|tool_call_start|>[{"name": "share", "arguments": {}}]<|tool_call_end|>',
    ],
  ],
  [
    'gemma4',
    '<|tool_call>',
    '<|tool_call>call:share{to:[<|"|>c\\d<|"|>,"a\\"b"],about:{text:<|"|><<|"|>,more:{}}}<tool_call|>',
    ['<|tool_call>call:share{to:[]}<tool_call|>', '<|tool_call>call:get_weather{city:<|"|><|"|>}<tool_call|>'],
  ],
];

test.each(NOTATIONS)('%s: free text with calls that match their schemas', (notation, begin, call, wrong) => {
  const auto = grammar({ notation });
  const last = call.replace(/<[^"]*>$/, '');
  const whole = ['', `Hi ${begin.slice(0, -1)} `, call, `Let me see.\n${call}\n${call} So it is.`, `a ${last}`];
  expect(wholeOf(auto, [...whole, begin, `a ${begin} b`, ...wrong, `${call}${wrong[0]}`])).toEqual(whole);
});

test('llama: an answer that is a call matches the schema; other JSON is text', () => {
  const call = '{"name": "get_weather", "parameters": {"city": "Rome"}}';
  const typed = '<|python_tag|>{"type": "function", "name": "share", "parameters": {"to": ["c\\\\d"]}}';
  const wrong = [
    '{"name": "share", "parameters": {}}',
    '{"parameters": {"city": 1}, "name": "get_weather"}',
    '\n{"n\\u0061me":"share","par\\u0061meters":{}}',
    `${call}, and so on`,
  ];
  const texts = [
    'I would call {"name": "share", "parameters": {}}',
    '{"parameters": [], "name": "x"} "',
    '<|python_tag|>print(1)',
  ];
  const calls = [call, `${typed}; ${call}`];
  expect(wholeOf(grammar({ notation: 'llama' }), [...calls, ...texts, ...wrong])).toEqual([...calls, ...texts]);
});

test('a marker may be a control token', () => {
  const hermes = grammar({ notation: 'hermes' });
  const call = '{"name": "get_weather", "arguments": {"city": "Rome"}}';
  const whole = [`a«<tool_call>»${call}</tool_call>`, '«<think>» <tool_call>«</think>»b'];
  expect(wholeOf(hermes, [...whole, 'a«<tool_call>»b', '«<think>»«</think>»<tool_call>'])).toEqual(whole);
});

test('reasoning before an answer contains no calls', () => {
  const [notation, begin, call] = NOTATIONS[0]!;
  const thought = grammar({ notation });
  const whole = [`\n<think>${begin}</think>${call}`, `<think>${begin}`];
  expect(wholeOf(thought, [...whole, `a<think>${begin}</think>`, `<think></think>${begin}`])).toEqual(whole);
  const opened = grammar({ notation, opensReasoning: true });
  expect(wholeOf(opened, [begin, `${begin}</think>a${call}`, `a</think>${begin}`])).toEqual([
    begin,
    `${begin}</think>a${call}`,
  ]);
});

/** Texts that random answers prefer. */
const WORDS = [
  '<think>',
  '</think>',
  '"',
  '}',
  '{',
  '\\',
  ' ',
  '\n',
  ',',
  '<|"|>',
  '"parameters": {',
  '{"name": "share", ',
];

test.each([...NOTATIONS.map(([notation, begin]) => [notation, begin] as const), ['llama', '{"name"'] as const])(
  '%s: allowed answers are parsed back as the text and calls they contain',
  (notation, begin) => {
    const random = new Random(41);
    const known = new Set(tools.map(({ name }) => name));
    let calls = 0;
    const held = grammar({ notation });
    for (let i = 0; i < 16; i++) {
      const answer = randomAnswer(held, random, [...WORDS, begin, begin, begin]);
      if (answer === undefined) continue;
      const reader = new AnswerReader({ toolFormat: notation, opensReasoning: false }, known);
      const parts = [...reader.push(answer), ...reader.flush()];
      const content = parts.map((part) => part.content ?? '').join('');
      const read = parts.flatMap((part) => part.tool_calls ?? []);
      calls += read.length;
      if (notation !== 'llama') expect(content, answer).not.toContain(begin);
      for (const { function: called } of read) {
        const given = JSON.parse(called?.arguments ?? '') as Record<string, unknown>;
        if (called?.name === 'share') {
          const { to } = given as { to: string[] };
          const values = SHARE.parameters.properties.to.items.enum;
          expect(to.length > 0 && to.every((value) => values.includes(value)), answer).toBe(true);
        } else {
          const { city, days = 1, metric = null } = given as { city: string; days?: number; metric?: unknown };
          const isCity = [...city].length >= 1 && [...city].length <= 8;
          expect(
            [isCity, Number.isInteger(days) && days >= 1, [true, false, null].includes(metric as boolean)],
            answer,
          ).toEqual([true, true, true]);
        }
      }
    }
    expect(calls).toBeGreaterThan(notation === 'llama' ? -1 : 3); // a Llama call is the whole answer, which is rare
  },
);

test.each([
  ['has no tools that could be called', { notation: 'hermes', tools: [] }],
  ['calls in the notation "nope" cannot be held to schemas', { notation: 'nope' }],
  [
    '1.function.parameters.type: must be object',
    { notation: 'hermes', tools: [WEATHER, { name: 'x', parameters: { type: 'string' } }] },
  ],
  [
    '0.function.parameters.properties.a.type: must be',
    { notation: 'lfm2', tools: [{ name: 'x', parameters: { properties: { a: { type: 'x' } } } }] },
  ],
  ['0.function.name: "a b" is no name in Gemma 4\'s notation', { notation: 'gemma4', tools: [{ name: 'a b' }] }],
])('is refused: %s', (reason, calls) => {
  expect(refusalOf((builder) => toolCallGrammar({ tools, ...calls }, builder))).toContain(reason);
});

test('names that are not valid in Python are called in JSON', () => {
  const odd = grammar({
    notation: 'lfm2',
    tools: [{ name: 'a b', parameters: { properties: { 'c d': { const: 1 } }, required: ['c d'] } }],
  });
  expect(verdict(odd, '<|tool_call_start|>[{"name": "a b", "arguments": {"c d": 1}}]')).toBe('whole');
});
