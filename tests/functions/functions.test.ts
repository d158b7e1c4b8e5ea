import { expect, test } from 'vitest';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { readFunctionConfig } from '../../src/functions/function-config.ts';
import { pickFunctions } from '../../src/functions/library.ts';
import { rewrite } from '../../src/functions/rewrite.ts';
import { splitSentences } from '../../src/functions/sentences.ts';
import { transform } from '../../src/functions/transform.ts';
import { pickAdapterFiles } from '../../src/hub/pick-files.ts';
import { parseHubId } from '../../src/hub/hub-api.ts';

/** Expected values are what granite-common 0.4.1, mellea 0.8.0 and nltk 3.10.4 print; the rest tier asks them for thousands. */

const HEAD = 'model: ~\nresponse_format: ~\n';
const configOf = (...steps: string[]) => readFunctionConfig(`${HEAD}transformations: [${steps.join(', ')}]`, 'io.yaml');
const resultOf = (answer: unknown, ...steps: string[]) =>
  transform(configOf(...steps), { content: JSON.stringify(answer), tokens: undefined, sentencesOf: () => [] });

test.each([
  ['It is so. "Is it?" she said. (No.) Yes!', ['It is so.', '"Is it?"', 'she said.', '(No.)', 'Yes!']],
  ['J. Smith has 3. apples... and more. 4. Pears', ['J. Smith has 3. apples... and more.', '4.', 'Pears']],
  [' One.\n\nTwo ', [' One.', 'Two']],
  ['', []],
] as const)('the sentences of %j', (text, sentences) => {
  expect(splitSentences(text)).toEqual(sentences);
});

const TALK = [
  { role: 'assistant', content: 'Hi.' },
  { role: 'user', content: 'One 😀. Two.' },
];
const DOCUMENTS = [{ text: 'A bee. A dog.' }, { text: 'É "f".', doc_id: 'x', title: 'T' }];
const rewritten = (more: string, args = {}) =>
  rewrite(readFunctionConfig(`${HEAD}transformations: ~\n${more}`, 'io.yaml'), TALK, DOCUMENTS, args);

test('sentences are numbered, documents become a message, and the instruction quotes the last message', () => {
  const asked = rewritten(
    'sentence_boundaries: { last_message: r, documents: c, all_but_last_message: c }\n' +
      'docs_as_message: json\ninstruction: "{{so}} {last_message} {rule}"',
    { rule: '{x}' },
  );
  expect(asked.documents).toBeUndefined();
  expect(asked.messages).toEqual([
    {
      role: 'user',
      content: '[{"text": "<c0> A bee. <c1> A dog."}, {"text": "<c2> \\u00c9 \\"f\\".", "title": "T", "doc_id": "x"}]',
    },
    { role: 'assistant', content: '<c3> Hi.' },
    { role: 'user', content: '<r0> One 😀. <r1> Two.' },
    { role: 'user', content: '{so} <r0> One 😀. <r1> Two. {x}' },
  ]);
  const own = { document_id: null, message_index: null };
  expect(asked.sentencesOf(['last_message'])).toEqual([
    { ...own, begin: 0, end: 7, text: 'One 😀. ' },
    { ...own, begin: 7, end: 11, text: 'Two.' },
  ]);
  expect(asked.sentencesOf(['documents']).map(({ document_id }) => document_id)).toEqual([null, null, 'x']);
});

test.each([
  [
    'string',
    {
      role: 'user',
      content: 'You have access to the following documents:\n\n[Document None]\nA bee. A dog.\n\n[Document x]\nÉ "f".',
    },
  ],
  ['roles', { role: 'document None', content: 'A bee. A dog.' }],
] as const)('documents as %s', (form, first) => {
  expect(rewritten(`docs_as_message: ${form}`).messages[0]).toEqual(first);
});

const ROWS = [
  { a: 1, b: [2, 3] },
  { a: 1, b: [] },
  { a: 4, b: [2] },
];

test.each([
  [[1, 2], '{type: nest, input_path: [~], field_name: x}', [{ x: 1 }, { x: 2 }]],
  [
    ROWS,
    '{type: explode, input_path: [], target_field: b}',
    [
      { a: 1, b: 2 },
      { a: 1, b: 3 },
      { a: 4, b: 2 },
    ],
  ],
  [
    ROWS,
    '{type: drop_duplicates, input_path: [], target_fields: [a]}',
    [
      { a: 1, b: [] },
      { a: 4, b: [2] },
    ],
  ],
  [
    ROWS,
    '{type: project, input_path: [], retained_fields: {a: n, c: c}}',
    [
      { n: 1, c: null },
      { n: 1, c: null },
      { n: 4, c: null },
    ],
  ],
  [
    [
      { g: 'x', s: 5, e: 7, t: 'b' },
      { g: 'x', s: 0, e: 5, t: 'a' },
      { g: 'w', s: 7, e: 9, t: 'c' },
    ],
    '{type: merge_spans, input_path: [], group_fields: [g], begin_field: s, end_field: e, text_field: t}',
    [
      { g: 'w', s: 7, e: 9, t: 'c' },
      { g: 'x', s: 0, e: 7, t: 'ab' },
    ],
  ],
] as const)('a step: %#', (answer, step, result) => {
  expect(resultOf(answer, step)).toEqual(result);
});

test('a likelihood is the mean of the categories that may stand at the value’s first token', () => {
  const config = configOf(
    '{type: likelihood, input_path: [v], categories_to_values: {"yes": 1, "no": 0, "yes, partly": 0.5}}',
  );
  const at = (token: string, share = 1, others: [string, number][] = []) => ({
    ...{ token, logprob: Math.log(share) },
    top_logprobs: others.map(([other, chance]) => ({ token: other, logprob: Math.log(chance) })),
  });
  const tokens = [
    at('{"v":'),
    at(' "'),
    at('ye', 0.6, [
      ['ye', 0.6],
      ['no', 0.2],
      ['maybe', 0.1],
    ]),
    at('s"}'),
  ];
  const result = transform(config, { content: '{"v": "yes"}', tokens, sentencesOf: () => [] });
  expect((result as { v: number }).v).toBeCloseTo(0.75, 12);
});

test('steps follow each other, and a step changes one of two records that another made of one', () => {
  expect(
    resultOf(
      [{ c: [1, 2], d: { e: 5 } }],
      '{type: explode, input_path: [], target_field: c}',
      '{type: nest, input_path: [0, d, e], field_name: x}',
    ),
  ).toEqual([
    { c: 1, d: { e: { x: 5 } } },
    { c: 2, d: { e: 5 } },
  ]);
});

test.each([
  ['[', '', /not YAML/],
  ['a: &a [1]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]', '', /alias/i],
  ['model: ~', 'response_format', /is missing/],
  [`${HEAD}transformations: ~\nmodel: ~`, '', /unique/],
  [`${HEAD}transformations: ~\ncolour: red`, 'colour', /not a field/],
  [`${HEAD}transformations: [{type: sing, input_path: []}]`, 'transformations[0].type', /likelihood/],
  [`${HEAD}transformations: [{type: nest, input_path: [-1], field_name: a}]`, 'transformations[0].input_path[0]', /-1/],
  [
    `${HEAD}transformations: [{type: nest, input_path: [], field_name: a, b: 1}]`,
    'transformations[0].b',
    /not a field/,
  ],
  [
    `${HEAD}transformations: [{type: decode_sentences, input_path: [a], source: documents, output_names: {}}]`,
    'transformations[0].source',
    /no tag/,
  ],
  [`${HEAD}transformations: ~\nparameters: { n: 8 }`, 'parameters.n', /not a parameter/],
  [`${HEAD}transformations: ~\ninstruction: "{a.b}"`, 'instruction', /only \{name\}/],
  [`${HEAD}transformations: ~\ndocs_as_message: xml`, 'docs_as_message', /string, json, roles/],
  ['model: ~\nresponse_format: "{"\ntransformations: ~', 'response_format', /not JSON/],
  [`${HEAD}transformations: ~\n${'#'.repeat(70_000)}`, '', /at most/],
] as const)('a wrong file is refused: %#', (text, field, reason) => {
  const error = thrownBy(() => readFunctionConfig(text, 'io.yaml'));
  expect([error.detail.file, error.detail.field ?? '']).toEqual(['io.yaml', field]);
  expect(error.detail.reason).toMatch(reason);
});

test.each([
  ['[1, 2', '{type: nest, input_path: [], field_name: x}', 'response_format'],
  ['7', '{type: explode, input_path: [], target_field: x}', 'transformations[0]'],
  [
    JSON.stringify(Array(40).fill([...Array(40).keys()])),
    '{type: project, input_path: [], retained_fields: [a]}',
    'transformations[0]',
  ],
  ['"yes"', '{type: likelihood, input_path: [], categories_to_values: {yes: 1}}', 'transformations[0]'],
])('an answer that does not fit is refused: %#', (content, step, field) => {
  const given = { content, tokens: undefined, sentencesOf: () => [] };
  expect(thrownBy(() => transform(configOf(step), given))).toMatchObject({ code: 'bad_file', detail: { field } });
});

test('records that would multiply without end are refused', () => {
  const lists = 'abcdef'.split('').map((name) => [name, [...Array(20).keys()]] as const);
  const steps = lists.map(([name]) => `{type: explode, input_path: [], target_field: ${name}}`);
  const error = thrownBy(() => resultOf([Object.fromEntries(lists)], ...steps));
  expect(error.detail.reason).toMatch(/more than 200000/);
});

const file = (path: string) => ({ path, size: 1, oid: path, url: `http://hub/${path}` });
const repo = (...paths: string[]) => ({ commit: 'c', files: paths.map(file) });

test('an adapter in a folder of a repository has its function with it', () => {
  const id = parseHubId('owner/library@v1:rewrite/base/alora');
  const all = ['adapter_config.json', 'adapter_model.safetensors', 'io.yaml'].map(
    (name) => `rewrite/base/alora/${name}`,
  );
  const { config, weights, definition } = pickAdapterFiles(id!, repo('adapter_config.json', ...all));
  expect([config, weights, definition].map((found) => found?.path)).toEqual(all);
  expect(thrownBy(() => pickAdapterFiles(id!, repo('adapter_config.json')))).toMatchObject({ code: 'bad_request' });
});

test('a library lists the functions of the base that the model’s name has, in both layouts, activated ones first', () => {
  const at = (folder: string): string => `${folder}/adapter_config.json`;
  const paths = [
    ...['a/granite-4.1-3b/lora', 'a/granite-4.1-3b/alora', 'b/lora/granite-4.1-3b', 'c/granite-4.1-8b/lora'].map(at),
    ...['README.md', 'a/granite-4.1-3b/lora/deep/adapter_config.json', 'd/granite-4.1/lora/adapter_config.json'],
  ];
  const wish = { file: 'lib', base: undefined, functions: undefined };
  const { base, functions } = pickFunctions(paths, {
    ...wish,
    models: ['ibm-granite/granite-4.1-3b-GGUF:granite-4.1-3b-Q4_K_M.gguf'],
  });
  expect(base).toBe('granite-4.1-3b');
  expect(functions).toEqual([
    { name: 'a', form: 'alora', folder: 'a/granite-4.1-3b/alora' },
    { name: 'b', form: 'lora', folder: 'b/lora/granite-4.1-3b' },
  ]);
  const other = thrownBy(() =>
    pickFunctions(paths, { ...wish, models: ['granite-4.1-30b.gguf'], base: 'granite-4.1-30b' }),
  );
  expect(other.detail).toMatchObject({ file: 'lib', field: 'base' });
});

function thrownBy(action: () => unknown): ChunkwiseError {
  try {
    action();
  } catch (error) {
    if (error instanceof ChunkwiseError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
