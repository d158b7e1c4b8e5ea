import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine } from '../../src/api/engine-types.ts';
import { createEngine } from '../../src/node/index.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { diskCacheForTests } from '../support/disk-cache.ts';
import { expectError } from '../support/expect-error.ts';
import { HubServer } from '../support/hub-server.ts';
import { DOCUMENTS_TEMPLATE } from '../support/models/documents-template.ts';
import { CONFIG_FILE, peftWeights, tinyAdapter, WEIGHTS_FILE } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const MODEL = tinyModel({
  ...{ architecture: 'granite', type: 'F32', seed: 71, contextLength: 1024, neverEnds: true },
  metadata: { 'tokenizer.chat_template': DOCUMENTS_TEMPLATE },
});

const ANSWERABILITY = `
model: ~
response_format: |
  { "type": "string", "enum": ["answerable", "unanswerable"] }
transformations:
  - { type: likelihood, input_path: [], categories_to_values: { answerable: 0.75, unanswerable: 0.25 } }
  - { type: nest, input_path: [], field_name: answerability_likelihood }
parameters: { max_completion_tokens: 16 }
`;
const SPANS = `
model: ~
response_format: |
  { "type": "array", "minItems": 1, "maxItems": 2, "items": {
      "type": "object", "properties": { "r": { "enum": [0, 1] } }, "required": ["r"], "additionalProperties": false } }
transformations:
  - { type: decode_sentences, source: last_message, input_path: [~, r], output_names: { begin: from, end: to, text: words } }
  - { type: project, input_path: [], retained_fields: [from, to, words] }
instruction: "Which sentences of {last_message} follow {rule}?"
sentence_boundaries: { last_message: i }
`;

const FILE = await openGguf([new BytesSource('tiny.gguf', MODEL)]);
const INVOCATION = createTokenizer(readTokenizerMetadata(FILE)).encode('<answer>');
const folder = mkdtempSync(join(tmpdir(), 'chunkwise-functions-'));
const model = join(folder, 'granite-9-tiny-Q8.gguf');
const encoder = new TextEncoder();

/** The files of an adapter; of an activated one with `invocation`. */
function adapterFiles(seed: number, invocation?: readonly number[]): Record<string, Uint8Array> {
  const config = { alora_invocation_tokens: invocation };
  const adapter = tinyAdapter(readModelConfig(FILE), { seed, gain: 0.2, config });
  return { [CONFIG_FILE]: encoder.encode(JSON.stringify(adapter.config)), [WEIGHTS_FILE]: peftWeights(adapter) };
}

/** Both layouts, both forms, and another base. */
const LIBRARY: Record<string, Record<string, Uint8Array>> = {
  'answerability/granite-9-tiny/lora': { ...adapterFiles(3), 'io.yaml': encoder.encode(ANSWERABILITY) },
  'answerability/granite-9-tiny/alora': { ...adapterFiles(4, INVOCATION), 'io.yaml': encoder.encode(ANSWERABILITY) },
  'spans/alora/granite-9-tiny': { ...adapterFiles(5, INVOCATION), 'io.yaml': encoder.encode(SPANS) },
  'plain/granite-9-tiny/lora': { ...adapterFiles(6), 'io.yaml': encoder.encode(ANSWERABILITY) },
  'other/granite-9-large/lora': { ...adapterFiles(7), 'io.yaml': encoder.encode(ANSWERABILITY) },
};
const FILES = Object.fromEntries(
  Object.entries(LIBRARY).flatMap(([at, files]) =>
    Object.entries(files).map(([name, bytes]) => [`${at}/${name}`, bytes] as const),
  ),
);

diskCacheForTests();
const hub = await HubServer.start('owner/library', FILES);
let engine: Engine;

beforeAll(async () => {
  writeFileSync(model, MODEL);
  for (const [path, bytes] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, 'library', path)), { recursive: true });
    writeFileSync(join(folder, 'library', path), bytes);
  }
  engine = await createEngine({ model, hub: { endpoint: hub.endpoint } });
});
afterAll(async () => {
  await engine.dispose();
  await hub.close();
  rmSync(folder, { recursive: true });
});

const TALK = [
  { role: 'user' as const, content: 'Seven winds blow over the sea. '.repeat(12) },
  { role: 'assistant' as const, content: 'They do. The eighth waits in a cave.' },
];
const DOCUMENTS = [{ doc_id: '1', text: 'The eighth wind sleeps.' }];

test('a library of a folder lists its functions, loads each with its first call, and activated ones reuse the text', async () => {
  const { base, functions } = await engine.adapters.library(join(folder, 'library'));
  expect(base).toBe('granite-9-tiny');
  expect(functions.map(({ name, form, isLoaded }) => [name, form, isLoaded])).toEqual([
    ['answerability', 'alora', false],
    ['plain', 'lora', false],
    ['spans', 'alora', false],
  ]);
  expect(await engine.adapters.list()).toEqual([]);
  await engine.chat.completions.create({ messages: TALK, documents: DOCUMENTS, max_tokens: 1, temperature: 0 });
  const request = { messages: TALK, documents: DOCUMENTS };
  const first = await engine.functions.call('answerability', request);
  expect(JSON.parse(first.content)).toMatch(/^(un)?answerable$/);
  expect(first.result.answerability_likelihood).toBeGreaterThanOrEqual(0.25);
  expect(first.result.answerability_likelihood).toBeLessThanOrEqual(0.75);
  // The prompt up to the invocation is what the chat computed.
  const { prompt_tokens: length, prompt_tokens_details: details } = first.usage;
  expect(details.cached_tokens).toBe(length - INVOCATION.length);
  const spans = await engine.functions.call('spans', { messages: TALK, arguments: { rule: 'none' } });
  const numbers = (JSON.parse(spans.content) as { r: number }[]).map(({ r }) => r);
  const sentences = [
    { from: 0, to: 9, words: 'They do. ' },
    { from: 9, to: 36, words: 'The eighth waits in a cave.' },
  ];
  expect(spans.result).toEqual(numbers.map((r) => sentences[r]));
  const plain = await engine.functions.call('plain', request);
  expect(plain.usage.prompt_tokens_details.cached_tokens).toBe(0);
  const listed = await engine.functions.list();
  expect(listed.find(({ name }) => name === 'spans')).toMatchObject({ isLoaded: true, arguments: ['rule'] });
  expect((await engine.adapters.list()).map(({ name }) => name)).toEqual(['answerability', 'spans', 'plain']);
});

test('answers equal those of a chat with the same adapter, form and rewritten messages', async () => {
  const request = { messages: TALK, documents: DOCUMENTS };
  const called = await engine.functions.call('answerability', request);
  const chat = await engine.chat.completions.create({
    ...request,
    adapter: 'answerability',
    ...{ ranks: 'uniform', temperature: 0, max_tokens: 16, logprobs: true, top_logprobs: 10 },
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'a', schema: { enum: ['answerable', 'unanswerable'] } },
    },
  });
  expect(called.content).toBe(chat.choices[0]?.message.content);
});

test('a function of one’s own: an adapter with a function.yaml', async () => {
  const [own, bad] = ['own', 'bad'].map((name) => join(folder, name));
  const definitions = [SPANS, SPANS.replace('minItems', 'minimumItems: 1\nx')];
  for (const [i, place] of [own!, bad!].entries()) {
    mkdirSync(place);
    for (const [name, bytes] of Object.entries(adapterFiles(8, INVOCATION))) writeFileSync(join(place, name), bytes);
    writeFileSync(join(place, 'function.yaml'), definitions[i]!);
  }
  await engine.adapters.load('own', own!);
  const { result } = await engine.functions.call('own', { messages: TALK, arguments: { rule: 'none' } });
  expect(result).toHaveProperty('0.words');
  await engine.adapters.load('bad', bad!);
  await expectError(() => engine.functions.call('bad', { messages: TALK }), 'bad_file', {
    file: join(bad!, 'function.yaml'),
  });
  const listed = (await engine.functions.list()).find(({ name }) => name === 'bad');
  expect(listed).toMatchObject({ isLoaded: true, problem: expect.stringContaining('function.yaml') as string });
  await engine.adapters.unload('bad');
});

test('a library of a hub downloads an adapter with its function when it is called, and none before', async () => {
  hub.forget();
  await expectError(() => engine.adapters.library('owner/library'), 'bad_request', { field: 'functions' });
  const remote = await createEngine({ model, hub: { endpoint: hub.endpoint } });
  try {
    const { functions } = await remote.adapters.library('owner/library', { functions: ['spans'] });
    expect(functions).toMatchObject([{ name: 'spans', library: 'owner/library', form: 'alora', isLoaded: false }]);
    expect(hub.requests.filter(({ path }) => path.includes('resolve'))).toEqual([]);
    const { result } = await remote.functions.call('spans', { messages: TALK, arguments: { rule: 'none' } });
    expect(result).toHaveProperty('0.from');
    const [stored] = (await remote.cache.list()).filter(({ kind }) => kind === 'adapter');
    expect(stored?.name).toBe('owner/library:spans/alora/granite-9-tiny');
    hub.behaviour.token = 'needed'; // offline
    await remote.adapters.unload('spans');
    await remote.functions.call('spans', { messages: TALK, arguments: { rule: 'none' } });
  } finally {
    await remote.dispose();
  }
});

test.each([
  [{ base: 'granite-9-small' }, 'bad_request', { field: 'base', reason: /granite-9-large, granite-9-tiny/ }],
  [{ functions: ['sing'] }, 'bad_request', { field: 'functions', reason: /no sing/ }],
  [{ files: ['a/b/c'] }, 'bad_request', { field: 'files' }],
  [{ colour: 'red' }, 'bad_request', { field: 'options.colour' }],
] as const)('a library with %j is refused', async (options, code, detail) => {
  await expectError(() => engine.adapters.library(join(folder, 'library'), options as object), code, detail);
});

test.each([
  ['sing', { messages: TALK }, 'bad_request', { field: 'name', reason: /no function sing/ }],
  ['spans', { messages: TALK }, 'bad_request', { field: 'arguments.rule', reason: /missing/ }],
  ['spans', { messages: TALK, arguments: { rule: 'a', ruel: 'b' } }, 'bad_request', { field: 'arguments.ruel' }],
  ['spans', { messages: [], arguments: { rule: 'a' } }, 'bad_request', { field: 'messages' }],
  ['spans', { messages: TALK, documents: [{ txt: 'a' }] }, 'bad_request', { field: 'documents[0].txt' }],
] as const)('a call of %s is refused: %#', async (name, request, code, detail) => {
  await expectError(() => engine.functions.call(name, request as never), code, detail);
});
