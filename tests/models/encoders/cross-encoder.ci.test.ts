import { describe, expect, test } from 'vitest';
import { napping } from '../../../tools/instruments/node-gpu.ts';
import { openEncoderEngine } from '../../../src/engine/encoder-engine.ts';
import type { ByteSource } from '../../../src/weights/byte-source.ts';
import { openModelFile } from '../../../src/weights/open-model-file.ts';
import { readEncoderConfig } from '../../../src/weights/encoder-config.ts';
import { BytesSource } from '../../support/bytes-source.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { closeAfterTest, encoderEngine, orderOf, scored } from '../../support/encoder-under-test.ts';
import { expectError } from '../../support/expect-error.ts';
import { lastingGpu } from '../../support/gpu/lasting-gpu.ts';
import { type Change, encoderFolder, encoderGguf, expectedScores } from '../../support/models/encoder-folder.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';

const { queries, documents, scores: expected } = expectedScores();
/** Largest error of a score against transformers in float32. */
const MOST_ERROR = 1e-4;

const crossFolder = (change: Change = {}) => encoderFolder(change, 'cross');

const farthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

describe.each(['cpu', 'gpu'] as const)('on a device of class %s', (deviceClass) => {
  test.each(queries.map((query, i) => [query, i] as const))('scores match transformers: %s', async (query, i) => {
    const found = await scored(await encoderEngine(crossFolder(), { deviceClass }), query, documents);
    const error = farthest(found, expected[i]!);
    console.info(
      `scores from ${Math.min(...found).toFixed(2)} to ${Math.max(...found).toFixed(2)}: ${error.toExponential(1)} apart`,
    );
    expect(found).toHaveLength(documents.length);
    expect(error).toBeLessThan(MOST_ERROR);
    expect(orderOf(found)).toEqual(orderOf(expected[i]!));
  });
});

test('f16 weights, the default, keep the order', async () => {
  const engine = await openEncoderEngine({ gpu: lastingGpu(), wait: napping, sources: crossFolder() });
  closeAfterTest({ close: () => engine.dispose() });
  for (const [i, query] of queries.entries())
    expect(orderOf(await scored(engine, query, documents))).toEqual(orderOf(expected[i]!));
});

test('more documents than a batch holds score as each alone, in order; usage counts the tokens of both texts', async () => {
  const engine = await encoderEngine(crossFolder());
  const many = Array.from({ length: 90 }, (_, i) => documents[i % documents.length]!);
  const found = await scored(engine, queries[0]!, many);
  expect(
    farthest(
      found,
      many.map((_, i) => expected[0]![i % documents.length]!),
    ),
  ).toBeLessThan(MOST_ERROR);
  const tokens = [];
  for await (const one of engine.rerank('the', ['then a', 'a'], {})) tokens.push(one.tokens);
  expect(tokens).toEqual([6, 5]);
});

test('a GGUF file of the model gives the same scores', async () => {
  const gguf = await scored(await encoderEngine(await encoderGguf(crossFolder())), queries[0]!, documents);
  expect(gguf).toEqual(await scored(await encoderEngine(crossFolder()), queries[0]!, documents));
});

test('unsupported requests to a cross-encoder are refused with a reason; nothing is truncated', async () => {
  const engine = await encoderEngine(crossFolder());
  await expectError(() => engine.embed(['the'], {}).next(), 'unsupported', {
    field: 'model',
    reason: /cannot embed texts/,
  });
  await expectError(async () => engine.chat(), 'unsupported', { field: 'model', reason: /scores documents/ });
  const room = engine.contextLength - 4;
  expect(await scored(engine, 'the', ['the '.repeat(room)])).toHaveLength(1);
  await expectError(() => engine.rerank('the', ['the', 'the '.repeat(room + 1)], {}).next(), 'context_overflow', {
    field: 'documents[1]',
  });
  await expectError(() => engine.rerank('the '.repeat(engine.contextLength), ['the'], {}).next(), 'context_overflow', {
    field: 'query',
  });
  await expectError(() => engine.rerank('the', ['the'], { signal: AbortSignal.abort() }).next(), 'aborted', {});
  const answering = await engineUnderTest(tinyModel({ architecture: 'llama', type: 'F32', seed: 1 }));
  await expectError(async () => answering.rerank(), 'unsupported', { field: 'model', reason: /a cross-encoder can/ });
});

const anyPair = (values: Record<string, unknown>, pair: unknown) => ({
  ...values,
  post_processor: { ...(values['post_processor'] as object), pair },
});
/** RoBERTa's template: both texts in one segment, with two separators between them. */
const ONE_SEGMENT = ['[CLS]', 'A', '[SEP]', '[SEP]', 'B', '[SEP]'].map((id) => ({
  [id.length === 1 ? 'Sequence' : 'SpecialToken']: { id, type_id: 0 },
}));

const REFUSED: [what: string, sources: () => ByteSource[], code: string, field: string][] = [
  [
    'another head',
    () => crossFolder({ 'config.json': (config) => ({ ...config, architectures: ['BertForTokenClassification'] }) }),
    'bad_file',
    'modules.json',
  ],
  [
    'what comes behind it',
    () => [...crossFolder(), new BytesSource('modules.json', new TextEncoder().encode('[]'))],
    'unsupported',
    'modules.json',
  ],
  [
    'pairs that are put otherwise',
    () => crossFolder({ 'tokenizer.json': (values) => anyPair(values, ONE_SEGMENT) }),
    'unsupported',
    'post_processor',
  ],
];

test.each(REFUSED)('%s is refused by name', async (_, sources, code, field) => {
  await expect(encoderEngine(sources())).rejects.toMatchObject({ code, detail: { field } });
});

test.each([
  ['cls.output.weight', 'several labels'],
  ['token_types.weight', 'one segment'],
])('a classifier whose %s has rows for %s is refused', async (name) => {
  const header = await openModelFile(crossFolder());
  const tensors = header.tensors.map((tensor) =>
    tensor.name === name ? { ...tensor, shape: [name === 'cls.output.weight' ? 3 : 1, 32] } : tensor,
  );
  await expectError(() => readEncoderConfig({ ...header, tensors }), 'unsupported', { field: name });
});

test('a missing classifier, or one in an embedding model, is refused by name', async () => {
  await expect(encoderEngine(await encoderGguf(encoderFolder(), { 'bert.pooling_type': 4 }))).rejects.toMatchObject({
    code: 'bad_file',
    detail: { field: 'cls.weight' },
  });
  await expect(encoderEngine(await encoderGguf(crossFolder(), { 'bert.pooling_type': 1 }))).rejects.toMatchObject({
    code: 'unsupported',
    detail: { field: expect.stringContaining('cls.') as string },
  });
});
