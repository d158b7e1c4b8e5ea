import { describe, expect, it, test } from 'vitest';
import type { Grammar } from '../../../src/grammar/grammar.ts';
import { structuralTagGrammar } from '../../../src/grammar/notations/structural-tag.ts';
import { control, grammarOf, refusalOf, wholeOf } from './answers.ts';

const grammar = (tag: unknown): Grammar => grammarOf((builder) => structuralTagGrammar(tag, builder, control));
const refusal = (tag: unknown): string => refusalOf((builder) => structuralTagGrammar(tag, builder, control));

const schema = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const weather = { type: 'tag', begin: '<f=w>', content: { type: 'json_schema', json_schema: schema }, end: '</f>' };
const time = { begin: '<f=t>', content: { type: 'const_string', value: 'now' }, end: '</f>' };
const W = '<f=w>{"city":"Rome <f=x>"}</f>';
const T = '<f=t>now</f>';
const triggered = { type: 'triggered_tags', triggers: ['<f='], tags: [weather, time] };
const any = { type: 'any_text' };
const text = (value: string): object => ({ type: 'const_string', value });

test('tags in free text in the earlier format of vLLM', () => {
  const structures = [{ begin: '<f=w>', schema, end: '</f>' }];
  const whole = ['', 'hi <f', W, `a${W}b${W}c`];
  const others = ['a<f=', '<f=t>', '<f=w>{}</f>', `${W}<f=`];
  expect(wholeOf(grammar({ type: 'structural_tag', structures, triggers: ['<f='] }), [...whole, ...others])).toEqual(
    whole,
  );
});

describe('triggered tags', () => {
  const answers = ['', 'a', W, `a${T}`, `${W}${T}`, `a${W}b${T}c`, 'a<f=z'];
  it.each([
    ['any number', {}, answers.slice(0, 6)],
    ['one at least, which comes first', { at_least_one: true }, [W, `${W}${T}`]],
    ['one at most', { stop_after_first: true }, ['', 'a', W, `a${T}`]],
    ['one', { at_least_one: true, stop_after_first: true }, [W]],
    ['none after excluded text', { excludes: ['b'] }, answers.slice(0, 5)],
  ])('%s', (_, options, whole) => {
    expect(wholeOf(grammar({ format: { ...triggered, ...options } }), answers)).toEqual(whole);
  });

  it('end with the enclosing tag', () => {
    const around = grammar({ format: { type: 'tag', begin: '<r>', content: triggered, end: ['</r>', '</q>'] } });
    const whole = [`<r>a${W}b</r>`, '<r></q>'];
    expect(wholeOf(around, [...whole, '<r>a', '<r>a</r>b', '<r></q></r>'])).toEqual(whole);
  });
});

const TAKEN: [what: string, format: object, whole: string[], others: string[]][] = [
  [
    'text up to the first end',
    { type: 'tag', begin: '<t>', content: any, end: '</t>' },
    ['<t><</t>'],
    ['<t>a</t>b</t>', '<t>'],
  ],
  [
    'text of few characters',
    { type: 'tag', begin: '(', content: { ...any, max_chars: 2 }, end: '))' },
    ['(é))', '(ab))'],
    ['(abc))'],
  ],
  ['text without words', { ...any, excludes: ['no', 'NO'] }, ['', 'nN', 'on'], ['a no']],
  [
    'one after the other, or one of several',
    {
      type: 'sequence',
      elements: [text('a'), { type: 'or', elements: [text('b'), { type: 'regex', pattern: 'c|d' }] }],
    },
    ['ab', 'ac', 'ad'],
    ['a', 'abc'],
  ],
  ['a grammar', { type: 'grammar', grammar: 'root ::= "(" root ")" | "x"' }, ['((x))'], ['(x']],
  [
    'how often',
    { type: 'repeat', min: 1, max: 2, content: { type: 'plus', content: text('x;') } },
    ['x;', 'x;x;x;'],
    [''],
  ],
  ['as often as not', { type: 'star', content: { type: 'optional', content: text('x') } }, ['', 'xxx'], ['y']],
  [
    'tags and what divides them',
    { type: 'tags_with_separator', separator: ',', tags: [weather, time] },
    ['', T, `${T},${W}`],
    [`${T}${W}`, `${T},`],
  ],
  [
    'one tag',
    { type: 'tags_with_separator', separator: ',', tags: [time], at_least_one: true, stop_after_first: true },
    [T],
    ['', `${T},${T}`],
  ],
  [
    'formats after words',
    {
      type: 'dispatch',
      rules: [
        ['A=', text('1')],
        ['B=', text('2')],
      ],
      excludes: ['END'],
    },
    ['xA=1yB=2', 'A'],
    ['A=2', 'xEND'],
  ],
  ['one format after a word', { type: 'dispatch', rules: [['A=', text('1')]], loop: false }, ['x', 'xA=1'], ['A=1x']],
  [
    'control tokens',
    {
      type: 'sequence',
      elements: [
        { type: 'token', token: '<think>' },
        { type: 'any_tokens', exclude_tokens: ['</think>'] },
        { type: 'token', token: 258 },
      ],
    },
    ['«<think>»a«</think>»'],
    ['<think>a«</think>»', '«<think>»</think>«</think>»'],
  ],
  [
    'tags after control tokens',
    {
      type: 'token_triggered_tags',
      trigger_tokens: ['<tool_call>'],
      tags: [{ begin: { type: 'token', token: '<tool_call>' }, content: any, end: { type: 'token', token: 258 } }],
    },
    ['a', 'a«<tool_call>»x«</think>»b'],
    ['a«<tool_call>»x'],
  ],
  [
    "Qwen's parameters",
    {
      type: 'qwen_xml_parameter',
      json_schema: {
        properties: { a: { type: 'string' }, b: { type: 'integer' }, c: { enum: ['x', 1] } },
        required: ['b'],
      },
    },
    [
      '<parameter=b>1</parameter>',
      '<parameter=a>"<b>\n"</parameter>\n<parameter=b>\n-1\n</parameter>',
      '<parameter=b>1</parameter><parameter=c>x</parameter>',
    ],
    [
      '<parameter=a>x</parameter>',
      '<parameter=b>x</parameter>',
      '<parameter=b>1</parameter><parameter=c>"x"</parameter>',
    ],
  ],
];

test.each(TAKEN)('%s', (_, format, whole, others) => {
  expect(wholeOf(grammar({ type: 'structural_tag', format }), [...whole, ...others])).toEqual(whole);
});

const nested = (depth: number): object => (depth === 0 ? any : { type: 'star', content: nested(depth - 1) });

test.each([
  ['must be an object', 'tag'],
  ['type: must be structural_tag', { type: 'tag' }],
  ['format: must be an object', {}],
  ['format.type: "nope" is not supported', { format: { type: 'nope' } }],
  ['format.type: a format without a type is not supported', { format: { value: 'x' } }],
  ['format.value: must be a text', { format: { type: 'const_string' } }],
  [
    'format.elements[1].type: "exclude_token" is not supported',
    { format: { type: 'or', elements: [any, { type: 'exclude_token' }] } },
  ],
  ['format.elements: must be a list that is not empty', { format: { type: 'sequence', elements: [] } }],
  ['format.triggers: must be a list that is not empty', { format: { ...triggered, triggers: [] } }],
  [
    'format.tags[0].begin: must begin with one of the triggers, but does with 2',
    { format: { ...triggered, triggers: ['<f', '<f='] } },
  ],
  [
    'structures[0].begin: must begin with one of the triggers, but does with 0',
    { structures: [{ begin: 'a', schema, end: 'b' }], triggers: ['c'] },
  ],
  [
    'format.json_schema.properties.a.type: must be',
    { format: { type: 'json_schema', json_schema: { properties: { a: { type: 1 } } } } },
  ],
  ['format.style: "glm_xml" is not supported', { format: { type: 'json_schema', json_schema: {}, style: 'glm_xml' } }],
  ['format.grammar: 1:11: ")" is expected', { format: { type: 'grammar', grammar: 'root ::= (' } }],
  ['format.pattern: the pattern "(" ', { format: { type: 'regex', pattern: '(' } }],
  ['format.max_tokens: a budget of tokens is not supported', { format: { ...any, max_tokens: 9 } }],
  ['format.max: is less than min', { format: { type: 'repeat', min: 3, max: 2, content: any } }],
  ['format.token: must be a control token, but is "<nope>"', { format: { type: 'token', token: '<nope>' } }],
  ['is nested more than 100 deep', { format: nested(3000) }],
])('is refused: %s', (reason, tag) => {
  expect(refusal(tag)).toContain(reason);
});
