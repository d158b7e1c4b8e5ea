import { expect, it } from 'vitest';
import { parseDecisions } from '../../../src/api/decisions/parse-decisions.ts';
import type { DecisionRequest } from '../../../src/api/decisions/types.ts';
import { answerSystemOne, decisionsOf } from '../../../src/api/http/system-one.ts';
import { expectError } from '../../support/expect-error.ts';

const ASKED = { type: 'predicate', instructions: 'Is it so?' };
const request = (more: object, question: object = ASKED): object => ({ input: 'Hi', questions: [question], ...more });

it('accepts all kinds of text parts', () => {
  const input = [
    { role: 'developer', content: [{ type: 'input_text', text: 'Be strict.' }] },
    {
      role: 'user',
      content: [
        { type: 'input_text', text: 'A' },
        { type: 'input_json', data: { b: [1] } },
      ],
    },
    { role: 'assistant', content: [{ type: 'output_text', text: 'C' }] },
    { type: 'function_call', call_id: '1', name: 'f', arguments: '{"d":2}' },
    { type: 'function_call_output', call_id: '1', output: 'E' },
    { type: 'custom_tool_call', call_id: '2', name: 'g', input: 'F' },
    { type: 'custom_tool_call_output', call_id: '2', output: [{ type: 'input_text', text: 'G' }] },
  ];
  const call = (id: string, name: string, given: object) => ({
    ...{ role: 'assistant', content: '' },
    tool_calls: [{ id, type: 'function', function: { name, arguments: given } }],
  });
  expect(parseDecisions(request({ input })).messages).toEqual([
    { role: 'system', content: 'Be strict.' },
    { role: 'user', content: 'A\n\n{"b":[1]}' },
    { role: 'assistant', content: 'C' },
    call('1', 'f', { d: 2 }),
    { role: 'tool', content: 'E', tool_call_id: '1' },
    call('2', 'g', { input: 'F' }),
    { role: 'tool', content: 'G', tool_call_id: '2' },
  ]);
});

it('prefers a question’s own adapter and temperature', () => {
  const questions = [ASKED, { ...ASKED, adapter: [{ name: 'b', scale: 2 }], temperature: 3 }];
  expect(parseDecisions({ input: 'Hi', questions, adapter: 'a' }).questions).toMatchObject([
    { adapters: [{ name: 'a', scale: 1 }], temperature: undefined },
    { adapters: [{ name: 'b', scale: 2 }], temperature: 3 },
  ]);
});

const CHOICE = { type: 'choice', instructions: 'Which?', choices: [{ value: 'a' }, { value: 'b' }] };
const SCORE = { type: 'score', instructions: 'How?', levels: [{ label: 'a' }, { label: 'b' }] };

it.each<[object, string]>([
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: [{ role: 'tool', content: 'a' }] }, 'input[0].role'],
  [{ input: [{ type: 'reasoning' }] }, 'input[0].type'],
  [{ input: [{ role: 'user', content: [{ type: 'text', text: 'a' }] }] }, 'input[0].content[0].type'],
  [{ input: [{ role: 'user', content: [{ type: 'input_json', data: 'a' }] }] }, 'input[0].content[0].data'],
  [{ input: [{ type: 'function_call_output', call_id: '1', output: 'a' }] }, 'input[0].call_id'],
  [{ input: [{ type: 'function_call', call_id: '1', name: 'f', arguments: '{' }] }, 'input[0].arguments'],
  [{ questions: [] }, 'questions'],
  [{ questions: new Array(401).fill(ASKED) }, 'questions'],
  [{ questions: [{ ...ASKED, type: 'box' }] }, 'questions[0].type'],
  [{ questions: [{ ...ASKED, instructions: '' }] }, 'questions[0].instructions'],
  [{ questions: [{ ...ASKED, choices: [] }] }, 'questions[0].choices'],
  [{ questions: [{ ...ASKED, temperature: 0 }] }, 'questions[0].temperature'],
  [{ questions: [{ ...ASKED, adapter: [{ name: 1 }] }] }, 'questions[0].adapter[0].name'],
  [{ questions: [{ ...ASKED, criteria: { maybe: 'a' } }] }, 'questions[0].criteria.maybe'],
  [{ questions: [{ ...CHOICE, choices: [] }] }, 'questions[0].choices'],
  [{ questions: [{ ...CHOICE, choices: [{ value: 'a' }, { value: 'a' }] }] }, 'questions[0].choices[1].value'],
  [{ questions: [{ ...CHOICE, choices: [{ value: 1 }] }] }, 'questions[0].choices[0].value'],
  [
    { questions: [{ ...CHOICE, choices: Array.from({ length: 256 }, (_, i) => ({ value: `${i}` })) }] },
    'questions[0].choices',
  ],
  [{ questions: [{ ...SCORE, levels: [{ label: 'a' }] }] }, 'questions[0].levels'],
  [{ questions: [{ ...SCORE, levels: [{ label: 'a' }, { label: '' }] }] }, 'questions[0].levels[1].label'],
  [{ permutations: 17 }, 'permutations'],
  [{ permutations: 16, questions: new Array(65).fill(ASKED) }, 'permutations'],
  [{ permutations: 2, return_prompt_token_ids: true }, 'return_prompt_token_ids'],
  [{ min_label_mass: 1.5 }, 'min_label_mass'],
  [{ temperature: 1 }, 'temperature'],
])('refuses %j for %s', async (more, field) => {
  await expectError(() => parseDecisions(request(more)), 'bad_request', { field });
});

it('refuses an image as unsupported, not as a bad request', async () => {
  const content = [{ type: 'input_image', image_url: 'data:' }];
  await expectError(() => parseDecisions(request({ input: [{ role: 'user', content }] })), 'unsupported', {
    field: 'input[0].content[0]',
  });
});

const STATE = { state: { a: 1 }, questions: { q: { type: 'noul', instructions: 'So?', criteria: { true: 'it is' } } } };

it('converts System One’s questions to decisions named by their ids', () => {
  const asked = {
    ...STATE.questions,
    c: { type: 'choice', instructions: 'Which?', criteria: { x: null, y: 'why' } },
    s: { type: 'score', instructions: 'How?', criteria: ['low', 'high'] },
  };
  const { messages, questions } = parseDecisions(
    decisionsOf({
      ...STATE,
      questions: asked,
      instructions: 'Be strict.',
      chat_template_kwargs: { enable_thinking: false },
    }),
  );
  expect(messages).toEqual([
    { role: 'system', content: 'Be strict.' },
    { role: 'user', content: '{"a":1}' },
  ]);
  expect(
    questions.map(({ type, name, options }) => [type, name, options.map((each) => [each.name, each.description])]),
  ).toEqual([
    [
      'predicate',
      'q',
      [
        ['yes', 'it is'],
        ['no', undefined],
      ],
    ],
    [
      'choice',
      'c',
      [
        ['x', undefined],
        ['y', 'why'],
      ],
    ],
    [
      'score',
      's',
      [
        ['low', undefined],
        ['high', undefined],
      ],
    ],
  ]);
});

it.each<[object, string]>([
  [{ state: undefined }, 'state'],
  [{ questions: [] }, 'questions'],
  [{ questions: {} }, 'questions'],
  [{ questions: { q: { type: 'predicate' } } }, 'questions.q.type'],
  [{ questions: { q: { type: 'score', criteria: { a: 1 } } } }, 'questions.q.criteria'],
  [{ questions: { q: { type: 'noul', choices: [] } } }, 'questions.q.choices'],
  [{ chat_template_kwargs: { enable_thinking: true } }, 'chat_template_kwargs.enable_thinking'],
  [{ decision_template: 'x' }, 'decision_template'],
])('refuses %j of System One for %s', async (more, field) => {
  await expectError(() => decisionsOf({ ...STATE, ...more }), 'bad_request', { field });
});

it.each<[object, string]>([
  [{ type: 'score', criteria: ['low', ''] }, 'questions.a.b.criteria[1]'],
  [{ type: 'score', criteria: ['low'] }, 'questions.a.b.criteria'],
  [{ type: 'choice', criteria: { '': null } }, 'questions.a.b.criteria'],
  [{ type: 'noul' }, 'questions.a.b.instructions'],
  [{ type: 'noul', instructions: 'So?', adapter: 7 }, 'questions.a.b.adapter'],
])('names the field of %j as the request to System One does: %s', async (question, field) => {
  const decide = (asked: DecisionRequest): Promise<never> => {
    parseDecisions(asked);
    throw new Error('accepted');
  };
  const body = { ...STATE, questions: { 'a.b': question } };
  await expectError(() => answerSystemOne(decide, body, 'model'), 'bad_request', { field });
});
