import { describe, expect, test } from 'vitest';
import { napping } from '../../../tools/instruments/node-gpu.ts';
import type { EncoderEngine } from '../../../src/engine/encoder-engine.ts';
import { openEngine } from '../../../src/engine/open-engine.ts';
import type { BidirectionalActivations } from '../../../src/models/bidirectional-encoder.ts';
import { checkModel } from '../../../src/session/open-session.ts';
import { checkEncoderTensors, readEncoderConfig } from '../../../src/weights/encoder-config.ts';
import { openModelFile } from '../../../src/weights/open-model-file.ts';
import type { TensorInfo } from '../../../src/weights/tensor-info.ts';
import { llamaVectors } from '../../llama/llama-vectors.ts';
import { ADAPTERS_HERE } from '../../support/adapters/adapters-here.ts';
import { BytesSource } from '../../support/bytes-source.ts';
import {
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
  expectedVectors,
} from '../../support/models/encoder-folder.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';
import { nmse } from '../../support/nmse.ts';
import { NMSE } from '../../support/tolerances.ts';

const { texts, ids } = expectedTexts('gemma');
const vectors = expectedVectors('gemma');

const folder = (change: Change = {}): BytesSource[] => encoderFolder(change, 'gemma');

const vectorsOf = (engine: EncoderEngine): Promise<Float32Array[]> => embedded(engine, texts);

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const leastCosine = (found: readonly Float32Array[]): number =>
  Math.min(...found.map((vector, i) => dot(scaled(vector), scaled(vectors[i]!))));

describe.each(['cpu', 'gpu'] as const)('on a device of class %s', (deviceClass) => {
  test('states of batched texts match those of each alone in transformers', async () => {
    const session = await encoderSession(folder(), { deviceClass });
    await session.encode(ids);
    const error = await stateError(
      session,
      (session.encoder.activations as BidirectionalActivations).normed,
      expectedStates('gemma').flat(),
    );
    console.info(`states on class ${deviceClass}: NMSE ${error.toExponential(1)}`);
    expect(error).toBeLessThan(NMSE.reference);
  });

  test('vectors match sentence-transformers after its dense layers', async () => {
    const found = await vectorsOf(await encoderEngine(folder(), { deviceClass }));
    const error = nmse(found, vectors);
    console.info(`vectors on class ${deviceClass}: NMSE ${error.toExponential(1)}, cosine ${leastCosine(found)}`);
    expect(error).toBeLessThan(NMSE.reference);
    expect(leastCosine(found)).toBeGreaterThan(0.9999);
  });
});

test('batched texts give the vectors of each alone, in order', async () => {
  const session = await encoderSession(folder());
  const together = await session.encode([...ids, ...ids]);
  for (const [i, text] of ids.entries()) {
    const [alone] = await session.encode([text]);
    expect(nmse([together[i]!, together[ids.length + i]!], [alone!, alone!])).toBeLessThan(NMSE.sameModel);
  }
});

test.each([
  ['F16', 1e-5],
  ['Q8_0', 1e-3],
] as const)('weights become %s where that is asked for', async (weights, most) => {
  const error = nmse(await vectorsOf(await encoderEngine(folder(), { weights })), vectors);
  console.info(`${weights}: NMSE ${error.toExponential(1)}`);
  expect(error).toBeLessThan(most);
  expect(error).toBeGreaterThan(0);
});

test('a GGUF file of the model gives the same vectors, and is distinguished from a generating model', async () => {
  const found = await vectorsOf(await encoderAmongModels(await encoderGguf(folder())));
  expect(found).toEqual(await vectorsOf(await encoderAmongModels(folder(), { weights: 'stored' })));
});

test('llama.cpp computes the same vectors from the GGUF file', async () => {
  const [file] = await encoderGguf(folder());
  const found = await llamaVectors(await file!.read(0, file!.size), ids);
  const error = nmse(await vectorsOf(await encoderEngine(folder())), found);
  console.info(`vectors of llama.cpp: NMSE ${error.toExponential(1)}`);
  expect(error).toBeLessThan(NMSE.llamaFloat);
});

test.each([
  ['F32', NMSE.llamaFloat],
  ['Q4_K', NMSE.llamaQuantized],
] as const)('llama.cpp makes the same vectors of a file in %s', async (type, most) => {
  const file = tinyModel({
    architecture: 'gemma-embedding',
    type,
    seed: 21,
    numLayers: 6,
    window: 11,
    tokenizer: 'llama',
    attentionGain: 1,
  });
  const inputs = [3, 18, 41].map((length, i) => [
    1,
    ...Array.from({ length }, (_, at) => 5 + (((7 + i) * at * at + 3 * at) % 300)),
    2,
  ]);
  const found = await llamaVectors(file, inputs);
  const error = nmse(await embedded(await encoderEngine([new BytesSource('encoder.gguf', file)]), inputs), found);
  console.info(`vectors of llama.cpp in ${type}: NMSE ${error.toExponential(1)}`);
  expect(error).toBeLessThan(most);
});

test('a model without dense layers returns the mean of its states, normalized if the model says so', async () => {
  const means = expectedStates('gemma').map((states) =>
    states[0]!.map((_, i) => states.reduce((sum, row) => sum + row[i]!, 0) / states.length),
  );
  const without = (kinds: RegExp): Change => ({
    'modules.json': (list) => (list as unknown as { type: string }[]).filter(({ type }) => !kinds.test(type)),
  });
  expect(nmse(await vectorsOf(await encoderEngine(folder(without(/Dense$/)))), means.map(scaled))).toBeLessThan(
    NMSE.reference,
  );
  expect(nmse(await vectorsOf(await encoderEngine(folder(without(/Dense$|Normalize$/)))), means)).toBeLessThan(
    NMSE.reference,
  );
});

test('unsupported requests to an encoder are refused with a reason', async () => {
  const engine = await encoderEngine(folder());
  for (const refused of [
    () => engine.chat(),
    () => engine.complete(),
    () => engine.countTokens(),
    () => engine.loadAdapter(),
    () => engine.savedCaches.save('x'),
  ]) {
    await expectError(async () => refused(), 'unsupported', { field: 'model' });
  }
  await expectError(() => engine.embed(['a'], { adapters: [{ name: 'x', scale: 1 }] }).next(), 'unsupported', {
    field: 'adapter',
  });
  await expectError(() => engine.rerank('the', ['thing'], {}).next(), 'unsupported', {
    field: 'model',
    reason: /cannot score documents/,
  });
  await expectError(() => engine.embed(['the', 'the '.repeat(256)], {}).next(), 'context_overflow', {
    field: 'input[1]',
  });
  expect(await embedded(engine, ids)).toEqual(await embedded(engine, texts));
});

const dense = (values: Record<string, unknown>): Change => ({
  '2_Dense/config.json': (config) => ({ ...config, ...values }),
});

const REFUSED: [what: string, change: Change, field: string][] = [
  ['a model that does not say how states are pooled', { 'modules.json': undefined }, 'modules.json'],
  ['a pooling that is not known', { '1_Pooling/config.json': () => ({ pooling_mode: 'max' }) }, 'pooling_mode'],
  [
    'one dense layer',
    { 'modules.json': (list) => (list as unknown as { path: string }[]).filter(({ path }) => path !== '3_Dense') },
    'type',
  ],
  ['a dense layer whose sizes are not there', { '2_Dense/config.json': undefined }, '2_Dense/config.json'],
  [
    'a dense layer whose weights are not there',
    { '3_Dense/model.safetensors': undefined },
    '3_Dense/model.safetensors',
  ],
  [
    'a dense layer with another activation',
    dense({ activation_function: 'torch.nn.modules.activation.Tanh' }),
    'activation_function',
  ],
  [
    'a dense layer that says nothing of its activation, which is Tanh then',
    dense({ activation_function: undefined }),
    'activation_function',
  ],
  ['a dense layer with a bias', dense({ bias: true }), 'bias'],
  ['a dense layer around which states go', dense({ use_residual: true }), 'use_residual'],
  ['a dense layer of token states', dense({ module_input_name: 'token_embeddings' }), 'module_input_name'],
  ['a dense layer of another size than its weights', dense({ out_features: 64 }), 'out_features'],
  [
    'another activation',
    { 'config.json': (config) => ({ ...config, hidden_activation: 'gelu' }) },
    'hidden_activation',
  ],
  ['soft caps', { 'config.json': (config) => ({ ...config, attn_logit_softcapping: 50 }) }, 'attn_logit_softcapping'],
  [
    'layers of other kinds',
    { 'config.json': (config) => ({ ...config, layer_types: ['chunked_attention'] }) },
    'layer_types',
  ],
  [
    'a wider residual stream than its dense layers read',
    { 'config.json': (config) => ({ ...config, hidden_size: 64 }) },
    'token_embd.weight',
  ],
  [
    'attention to later tokens of another model',
    { 'config.json': (config) => ({ ...config, model_type: 'llama' }) },
    'use_bidirectional_attention',
  ],
];

test.each(REFUSED)('%s is refused by name, before a weight is downloaded', async (_, change, field) => {
  await expect(checkModel(folder(change), { gpu: lastingGpu() })).rejects.toMatchObject({
    detail: { field: expect.stringContaining(field) as string },
  });
});

test('file names of dense layers need their folders', async () => {
  const flat = folder().map((source) => ({
    name: source.name.split('/').at(-1)!,
    size: source.size,
    read: (offset: number, length: number) => source.read(offset, length),
  }));
  await expect(checkModel(flat, { gpu: lastingGpu() })).rejects.toMatchObject({
    code: 'bad_file',
    detail: { field: '2_Dense/config.json' },
  });
});

const GGUF_REFUSED: [what: string, change: (model: GgufChange) => GgufChange, code: string, field: string][] = [
  [
    'dense layers, of which vectors would be others',
    ({ metadata, tensors }) => ({ metadata, tensors: tensors.filter(({ name }) => !name.startsWith('dense_')) }),
    'bad_file',
    'dense_2.weight',
  ],
  [
    'the second dense layer',
    ({ metadata, tensors }) => ({ metadata, tensors: tensors.filter(({ name }) => name !== 'dense_3.weight') }),
    'bad_file',
    'dense_3.weight',
  ],
  [
    'a pooling',
    ({ metadata, tensors }) => ({ metadata: { ...metadata, 'gemma-embedding.pooling_type': undefined }, tensors }),
    'bad_file',
    'gemma-embedding.pooling_type',
  ],
  [
    'a pooling that embeds',
    ({ metadata, tensors }) => ({ metadata: { ...metadata, 'gemma-embedding.pooling_type': 4 }, tensors }),
    'unsupported',
    'gemma-embedding.pooling_type',
  ],
  [
    'attention to both sides',
    ({ metadata, tensors }) => ({ metadata: { ...metadata, 'gemma-embedding.attention.causal': true }, tensors }),
    'unsupported',
    'gemma-embedding.attention.causal',
  ],
];

interface GgufChange {
  metadata: Record<string, string | number | boolean | undefined>;
  tensors: readonly TensorInfo[];
}

test.each(GGUF_REFUSED)('a GGUF file without %s is refused by name', async (_, change, code, field) => {
  const [file] = await encoderGguf(folder(), change({ metadata: {}, tensors: [] }).metadata);
  const header = await openModelFile([file!]);
  const { tensors } = change({ metadata: {}, tensors: header.tensors });
  await expectError(
    async () => void checkEncoderTensors({ ...header, tensors }, readEncoderConfig({ ...header, tensors })),
    code as 'bad_file',
    { field },
  );
});

test('a GGUF file of the model generates no answers', async () => {
  await expect(
    openEngine({ gpu: lastingGpu(), wait: napping, sources: await encoderGguf(folder()), ...ADAPTERS_HERE }),
  ).rejects.toMatchObject({ code: 'unsupported', detail: { field: 'general.architecture' } });
});

const BROKEN_SHARED: [from: RegExp, to: string][] = [
  [/base \+ 0 < unseen/, 'base + 0 < text.x + text.y'],
  [/token - min\(token, REACH\)/, 'token - min(token, REACH + 1u)'],
  [/first - min\(first, REACH\)/, 'first'],
  [/group\.y \/ \(NUM_HEADS \/ NUM_KV_HEADS\)/, 'group.y % NUM_KV_HEADS'],
];

test.each(BROKEN_SHARED)('a faulty attention kernel with shared keys is not used (%s)', (from, to) =>
  expectNotShared(folder(), from, to),
);

/** A fault for each kernel; for those that all encoders share see `encoder.test.ts`. */
const BROKEN: Broken[] = [
  ['attention-texts', /token \+ REACH \+ 1u/, 'token + 1u'],
  ['attention-texts', /token \+ REACH \+ 1u/, 'token + REACH'],
  ['attention-texts', /token - min\(token, REACH\)/, '0u'],
  ['attention-texts', /id\.y \/ \(NUM_HEADS \/ NUM_KV_HEADS\)/, 'id.y % NUM_KV_HEADS'],
  ['rotate-heads', /a \* cosine - b \* sine/, 'a * cosine + b * sine'],
  ['rotate-heads', /select\(HEAD_DIM4, 0u, head < NUM_HEADS\)/, '0u'],
  ['rotate-heads', /batch_table\[group\.y\]\.y/, 'group.y'],
  ['rms-norm', /value \+= y/, 'value -= y'],
  ['gated-activation', /activated \* up/, 'activated'],
];

test.each(BROKEN)('a fault in %s is detected and named (%s)', (...broken) => expectFound(folder(), broken));

test('a correct device is checked once, and keeps no check data', () => expectAskedOnce(folder()));
