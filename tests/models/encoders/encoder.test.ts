import { describe, expect, test } from 'vitest';
import { napping } from '../../../tools/instruments/node-gpu.ts';
import type { EncoderActivations } from '../../../src/models/encoder.ts';
import { checkModel } from '../../../src/session/open-session.ts';
import { openEncoderSession } from '../../../src/session/encoder/encoder-session.ts';
import {
  closeAfterTest,
  embedded,
  encoderAmongModels,
  encoderEngine,
  encoderSession,
  expectAskedOnce,
  expectFound,
  expectNotShared,
  scaled,
  stateError,
  type Broken,
} from '../../support/encoder-under-test.ts';
import { expectError } from '../../support/expect-error.ts';
import { lastingGpu } from '../../support/gpu/lasting-gpu.ts';
import {
  type Change,
  encoderFolder,
  encoderGguf,
  expectedStates,
  expectedTexts,
} from '../../support/models/encoder-folder.ts';
import { nmse } from '../../support/nmse.ts';
import { NMSE } from '../../support/tolerances.ts';
import { byTier } from '../../support/tier.ts';

const { texts, ids } = expectedTexts();
/** Pooling of a text's states, as PyTorch computes it. */
const POOLED: Record<string, (states: Float32Array[]) => Float32Array> = {
  mean_tokens: (states) => states[0]!.map((_, i) => states.reduce((sum, row) => sum + row[i]!, 0) / states.length),
  cls_token: ([first]) => first!,
  lasttoken: (states) => states.at(-1)!,
};

describe.each(byTier(['cpu'] as const, ['cpu', 'gpu'] as const))('on a device of class %s', (deviceClass) => {
  test('states of batched texts match those of each alone in transformers', async () => {
    const session = await encoderSession(encoderFolder(), { deviceClass });
    await session.encode(ids);
    const error = await stateError(
      session,
      (session.encoder.activations as EncoderActivations).x,
      expectedStates().flat(),
    );
    console.info(`states on class ${deviceClass}: NMSE ${error.toExponential(1)}`);
    expect(error).toBeLessThan(NMSE.reference);
  });

  test.each(Object.keys(POOLED))('vectors are pooled by the mode of the model: %s', async (mode) => {
    const pooling = () => ({ word_embedding_dimension: 32, [`pooling_mode_${mode}`]: true });
    const engine = await encoderEngine(encoderFolder({ '1_Pooling/config.json': pooling }), { deviceClass });
    const expected = expectedStates().map((states) => POOLED[mode]!(states));
    expect(nmse(await embedded(engine, texts), expected.map(scaled))).toBeLessThan(NMSE.reference);
    const withoutNorm = {
      '1_Pooling/config.json': pooling,
      'modules.json': (modules: unknown) => (modules as unknown[]).slice(0, 2),
    };
    expect(
      nmse(await embedded(await encoderEngine(encoderFolder(withoutNorm), { deviceClass }), texts), expected),
    ).toBeLessThan(NMSE.reference);
  });
});

test('more texts than a batch holds give the vectors of each alone, in order', async () => {
  const session = await encoderSession(encoderFolder());
  const many = Array.from({ length: 90 }, (_, i) => ids[i % ids.length]!.slice(0, 3 + (i % 7)));
  expect(many.flat().length).toBeGreaterThan(session.plan.batchTokens);
  const together = await session.encode(many);
  const before = session.recorder.dispatches;
  await session.encode(ids);
  const some = session.recorder.dispatches - before;
  await session.encode([ids[1]!]);
  expect(session.recorder.dispatches - before - some, 'four texts take as many dispatches as one').toBe(some);
  for (const i of [0, 1, 44, 89]) {
    const [alone] = await session.encode([many[i]!]);
    expect(nmse([together[i]!], [alone!])).toBeLessThan(NMSE.sameModel);
  }
});

test.each([
  ['F16', 1e-5],
  ['Q8_0', 1e-3],
  ['Q4_1', 0.15],
] as const)('weights become %s where that is asked for', async (weights, most) => {
  const vectors = await embedded(await encoderEngine(encoderFolder(), { weights }), texts);
  const error = nmse(
    vectors,
    expectedStates().map((states) => scaled(POOLED['mean_tokens']!(states))),
  );
  console.info(`${weights}: NMSE ${error.toExponential(1)}`);
  expect(error).toBeLessThan(most);
  expect(error).toBeGreaterThan(0);
});

test('weights are f16 by default, and 8 bits if memory is short', async () => {
  const planOf = async (memoryLimitBytes: number) => {
    const { device, plan } = await openEncoderSession({
      gpu: lastingGpu(),
      wait: napping,
      sources: encoderFolder(),
      memoryLimitBytes,
    });
    closeAfterTest(device);
    return plan;
  };
  const { weights, totalBytes } = await planOf(Infinity);
  expect(weights).toBe('F16');
  const smaller = await planOf(totalBytes - 1);
  expect(smaller.weights).toBe('Q8_0');
  // The check before the download accepts it too.
  await checkModel(encoderFolder(), { gpu: lastingGpu(), memoryLimitBytes: smaller.totalBytes });
  await expectError(
    () => checkModel(encoderFolder(), { gpu: lastingGpu(), memoryLimitBytes: smaller.totalBytes - 1 }),
    'over_limit',
    { field: 'memoryLimitBytes' },
  );
  await expect(planOf(totalBytes / 10)).rejects.toMatchObject({
    code: 'over_limit',
    detail: { field: 'memoryLimitBytes' },
  });
});

test('a GGUF file of the model gives the same vectors, and is distinguished from a generating model', async () => {
  const vectors = await embedded(await encoderAmongModels(await encoderGguf(encoderFolder())), texts);
  expect(vectors).toEqual(await embedded(await encoderEngine(encoderFolder()), texts));
  expect(await embedded(await encoderAmongModels(encoderFolder(), { weights: 'stored' }), texts)).toEqual(vectors);
});

test('unsupported requests to an encoder are refused with a reason', async () => {
  const engine = await encoderEngine(encoderFolder());
  for (const refused of [
    () => engine.chat(),
    () => engine.complete(),
    () => engine.countTokens(),
    () => engine.unloadAdapter(),
    () => engine.loadAdapter(),
    () => engine.savedCaches.save('x'),
  ]) {
    await expectError(async () => refused(), 'unsupported', { field: 'model' });
  }
  await expectError(() => engine.embed(['a'], { adapters: [{ name: 'x', scale: 1 }] }).next(), 'unsupported', {
    field: 'adapter',
  });
  await expectError(() => engine.embed(['the', 'the '.repeat(39)], {}).next(), 'context_overflow', {
    field: 'input[1]',
  });
  await expectError(() => engine.rerank('the', ['thing'], {}).next(), 'unsupported', {
    field: 'model',
    reason: /cannot score documents/,
  });
  await expectError(() => engine.embed(['a'], { signal: AbortSignal.abort() }).next(), 'aborted', {});
  expect((await embedded(engine, [ids[0]!]))[0]).toEqual((await embedded(engine, [texts[0]!]))[0]);
});

const REFUSED: [what: string, change: Change, field: string][] = [
  ['a model that does not say how states are pooled', { 'modules.json': undefined }, 'modules.json'],
  ['a pooling that is named and not there', { '1_Pooling/config.json': undefined }, '1_Pooling/config.json'],
  [
    'a pooling that is not known',
    { '1_Pooling/config.json': () => ({ pooling_mode_max_tokens: true }) },
    'pooling_mode',
  ],
  [
    'two poolings at once',
    { '1_Pooling/config.json': () => ({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: true }) },
    'pooling_mode',
  ],
  [
    'a module that is not known',
    { 'modules.json': (list) => [...(list as unknown as object[]), { type: 'sentence_transformers.models.Dense' }] },
    'type',
  ],
  ['another activation', { 'config.json': (config) => ({ ...config, hidden_act: 'relu' }) }, 'hidden_act'],
  [
    'relative positions',
    { 'config.json': (config) => ({ ...config, position_embedding_type: 'relative_key' }) },
    'position_embedding_type',
  ],
  [
    'another tokenizer',
    { 'tokenizer.json': (tokenizer) => ({ ...tokenizer, model: { type: 'BPE', vocab: {} } }) },
    'type',
  ],
  ['another normalizer', { 'tokenizer.json': (tokenizer) => ({ ...tokenizer, normalizer: { type: 'NFKC' } }) }, 'type'],
  [
    'more positions than it has learned',
    { 'config.json': (config) => ({ ...config, max_position_embeddings: 64 }) },
    'position_embd.weight',
  ],
];

test.each(REFUSED)('%s is refused by name', async (_, change, field) => {
  await expect(encoderSession(encoderFolder(change))).rejects.toMatchObject({
    detail: { field: expect.stringContaining(field) as string },
  });
});

test('a GGUF file without pooling, or with another tokenizer, is refused by name', async () => {
  await expectError(
    async () => encoderSession(await encoderGguf(encoderFolder(), { 'bert.pooling_type': undefined })),
    'bad_file',
    { field: 'bert.pooling_type' },
  );
  await expectError(
    async () => encoderSession(await encoderGguf(encoderFolder(), { 'bert.pooling_type': 5 })),
    'unsupported',
    { field: 'bert.pooling_type' },
  );
  await expectError(
    async () => encoderSession(await encoderGguf(encoderFolder(), { 'tokenizer.ggml.model': 'gpt2' })),
    'unsupported',
    { field: 'tokenizer.ggml.model' },
  );
});

const BROKEN_SHARED: [from: RegExp, to: string][] = [
  [/base \+ 0 >= seen && /, ''],
  [/values\[i\] = qkv\[at \+ KV_HEADS4\]/, 'values[i] = qkv[at]'],
  [/sum \*= kept;/, ''],
];

test.each(byTier([], BROKEN_SHARED))('a faulty attention kernel with shared keys is not used (%s)', (from, to) =>
  expectNotShared(encoderFolder(), from, to),
);

/** A fault for each kernel. */
const BROKEN: Broken[] = [
  ['layer-norm', /x\[base \+ i\] - mean\) \* scale/, 'x[base + i]) * scale'],
  ['layer-norm', /\+ norm_bias\[i\]/, ''],
  ['add-positions', /batch_table\[id\.y\]\.y/, 'id.y'],
  ['activate', /select\(1\.0 - beyond, beyond, x < 0\.0\)/, '(1.0 - beyond)'],
  ['attention-texts', /token \+ REACH \+ 1u/, 'token + 1u'],
  ['attention-texts', /max\(text\.x, /, 'max(0u, '],
  ['attention-texts', /\* SCALE/, ''],
  ['pool-texts', /span\.x \+ span\.y/, 'span.x + 1u'],
  ['embed', /y\[i \+ 7u\] = w\.h/, 'y[i + 7u] = w.g'],
  ['linear-prefill', /\* params\.scale \+ bias\((column|row)\)/, '* params.scale', 'linear-tiled'],
];

test.each(byTier([], BROKEN))('a fault in %s is detected and named (%s)', (...broken) =>
  expectFound(encoderFolder(), broken),
);

test('a correct device is checked once, and keeps no check data', () => expectAskedOnce(encoderFolder()));
