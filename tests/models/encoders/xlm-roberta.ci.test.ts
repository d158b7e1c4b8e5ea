import { describe, expect, test } from 'vitest';
import type { EncoderActivations } from '../../../src/models/encoder.ts';
import type { ByteSource } from '../../../src/weights/byte-source.ts';
import { openModelFile } from '../../../src/weights/open-model-file.ts';
import { llamaVectors } from '../../llama/llama-vectors.ts';
import {
  embedded,
  encoderAmongModels,
  encoderEngine,
  encoderSession,
  orderOf,
  scaled,
  scored,
  stateError,
} from '../../support/encoder-under-test.ts';
import { expectError } from '../../support/expect-error.ts';
import {
  type Change,
  encoderFolder,
  encoderGguf,
  expectedScores,
  expectedStates,
  expectedTexts,
} from '../../support/models/encoder-folder.ts';
import { nmse } from '../../support/nmse.ts';
import { NMSE } from '../../support/tolerances.ts';

const { texts, ids } = expectedTexts('xlmr');
const { queries, documents, scores: expected } = expectedScores('xlmr-cross');
/** Largest error of a score against transformers in float32. */
const MOST_ERROR = 1e-4;

const folder = (change: Change = {}) => encoderFolder(change, 'xlmr');
const crossFolder = (change: Change = {}) => encoderFolder(change, 'xlmr-cross');

describe.each(['cpu', 'gpu'] as const)('on a device of class %s', (deviceClass) => {
  test('states of batched texts match transformers, whose positions begin after the padding token', async () => {
    const session = await encoderSession(folder(), { deviceClass });
    await session.encode(ids);
    const error = await stateError(
      session,
      (session.encoder.activations as EncoderActivations).x,
      expectedStates('xlmr').flat(),
    );
    console.info(`states on class ${deviceClass}: NMSE ${error.toExponential(1)}`);
    expect(error).toBeLessThan(NMSE.reference);
  });

  test.each(queries.map((query, i) => [query, i] as const))('scores match transformers: %s', async (query, i) => {
    const found = await scored(await encoderEngine(crossFolder(), { deviceClass }), query, documents);
    const error = Math.max(...found.map((score, at) => Math.abs(score - expected[i]![at]!)));
    console.info(
      `scores from ${Math.min(...found).toFixed(2)} to ${Math.max(...found).toFixed(2)}: ${error.toExponential(1)} apart`,
    );
    expect(found).toHaveLength(documents.length);
    expect(error).toBeLessThan(MOST_ERROR);
    expect(orderOf(found)).toEqual(orderOf(expected[i]!));
  });
});

test('a vector is the normalized state of the first token; a GGUF file gives the same', async () => {
  const vectors = await embedded(await encoderEngine(folder()), texts);
  expect(
    nmse(
      vectors,
      expectedStates('xlmr').map(([first]) => scaled(first!)),
    ),
  ).toBeLessThan(NMSE.reference);
  expect(await embedded(await encoderAmongModels(await encoderGguf(folder())), texts)).toEqual(vectors);
});

test('llama.cpp computes the same vectors from the GGUF file', async () => {
  const [file] = await encoderGguf(folder());
  const found = await llamaVectors(await file!.read(0, file!.size), ids);
  const error = nmse(await embedded(await encoderEngine(folder()), texts), found);
  console.info(`vectors of llama.cpp: NMSE ${error.toExponential(1)}`);
  expect(error).toBeLessThan(NMSE.llamaFloat);
});

test('a GGUF file of a cross-encoder gives the same scores', async () => {
  const gguf = await scored(await encoderEngine(await encoderGguf(crossFolder())), queries[0]!, documents);
  expect(gguf).toEqual(await scored(await encoderEngine(crossFolder()), queries[0]!, documents));
});

test('a query and a document have two separators between them, which count', async () => {
  const engine = await encoderEngine(crossFolder());
  const tokens = [];
  for await (const one of engine.rerank('then', ['then then', 'then'], {})) tokens.push(one.tokens);
  expect(tokens).toEqual([7, 6]);
  const room = engine.contextLength - 5;
  expect(await scored(engine, 'then', ['then '.repeat(room)])).toHaveLength(1);
  await expectError(() => engine.rerank('then', ['then '.repeat(room + 1)], {}).next(), 'context_overflow', {
    field: 'documents[0]',
  });
});

test('the context is the positions after the padding token; a BERT with this tokenizer has all positions', async () => {
  const contextOf = async (change: Change) =>
    (await openModelFile(folder(change))).metadata.number('bert.context_length');
  expect(await contextOf({})).toBe(48);
  expect(await contextOf({ 'config.json': (config) => ({ ...config, pad_token_id: 3 }) })).toBe(46);
  expect(await contextOf({ 'config.json': (config) => ({ ...config, model_type: 'bert' }) })).toBe(50);
  // Some models declare more positions than a text can have.
  const { usualLength } = await openModelFile(folder({ 'sentence_bert_config.json': () => ({ max_seq_length: 50 }) }));
  expect(usualLength).toBe(48);
});

test('a GGUF file of a cross-encoder that adds no tokens around a text is refused by name', async () => {
  const refused = { field: 'tokenizer.ggml.add_bos_token' };
  await expectError(
    async () => encoderEngine(await encoderGguf(crossFolder(), { 'tokenizer.ggml.add_eos_token': false })),
    'unsupported',
    refused,
  );
  await expectError(
    async () => encoderEngine(await encoderGguf(crossFolder(), { 'tokenizer.ggml.add_bos_token': undefined })),
    'unsupported',
    refused,
  );
});

const REFUSED: [what: string, sources: () => ByteSource[], code: string, field: string][] = [
  [
    'padding after all positions',
    () => folder({ 'config.json': (config) => ({ ...config, pad_token_id: 49 }) }),
    'bad_file',
    'pad_token_id',
  ],
  [
    'fewer positions than it says',
    () => folder({ 'config.json': (config) => ({ ...config, max_position_embeddings: 64 }) }),
    'bad_file',
    'position_embd.weight',
  ],
  [
    'a pair without two separators',
    () =>
      crossFolder({
        'tokenizer.json': (values) => ({
          ...values,
          post_processor: { ...(values['post_processor'] as object), pair: [] },
        }),
      }),
    'unsupported',
    'post_processor',
  ],
];

test.each(REFUSED)('%s is refused by name', async (_, sources, code, field) => {
  await expect(encoderEngine(sources())).rejects.toMatchObject({ code, detail: { field } });
});
