import { expect, onTestFinished, test } from 'vitest';
import { FileSource } from '../../src/node/file-source.ts';
import type { ModelConfig } from '../../src/config/model-config.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import type { GgufFile } from '../../src/weights/gguf/gguf-reader.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { expectError } from '../support/expect-error.ts';
import { f32, writeGguf } from '../support/models/gguf-writer.ts';
import type { MetadataValue } from '../support/models/gguf-writer.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import type { TinyModelOptions } from '../support/models/tiny-model.ts';

const SMALL = { type: 'F32', seed: 1, hiddenSize: 64, intermediateSize: 96 } as const;

function open(options: Partial<TinyModelOptions>): Promise<GgufFile> {
  return readGguf(new BytesSource('x.gguf', tinyModel({ architecture: 'llama', ...SMALL, ...options })));
}

async function load(options: Partial<TinyModelOptions>): Promise<ModelConfig> {
  const file = await open(options);
  const config = readModelConfig(file);
  checkTensors(file, config);
  return config;
}

test('the real model', async () => {
  const source = await FileSource.open(REAL_MODEL);
  onTestFinished(() => source.close());
  const file = await readGguf(source);
  const config = readModelConfig(file);
  expect(config).toEqual({
    architecture: 'llama',
    numLayers: 30,
    hiddenSize: 576,
    intermediateSize: 1536,
    numHeads: 9,
    numKvHeads: 3,
    headDim: 64,
    vocabSize: 49_152,
    contextLength: 8192,
    rmsNormEps: Math.fround(1e-5),
    ropeTheta: 100_000,
    unrotatedLayers: [],
    qkvBias: false,
    qkNorm: false,
    postNorms: false,
    activation: 'silu',
    embeddingScale: 1,
    residualScale: 1,
    logitDivisor: 1,
    tiedEmbeddings: true,
    ropeLayout: 'interleaved',
  });
  expect(checkTensors(file, config).get('blk.29.ffn_down.weight')?.shape).toEqual([576, 1536]);
});

test('each architecture and its variants', async () => {
  const llama = await load({ tied: false, ropeFreqs: true, headDim: 32, ropeLinearScale: 4, tokenizer: 'llama' });
  expect(llama).toMatchObject({
    headDim: 32,
    tiedEmbeddings: false,
    ropeLinearScale: 4,
    ropeLayout: 'interleaved',
    vocabSize: 325,
  });
  expect(await load({ architecture: 'qwen2', vocabSize: 400 })).toMatchObject({
    qkvBias: true,
    qkNorm: false,
    ropeLayout: 'half',
    headDim: 16,
    vocabSize: 400,
  });
  expect(await load({ architecture: 'qwen3' })).toMatchObject({
    qkvBias: false,
    qkNorm: true,
    ropeLayout: 'half',
    tiedEmbeddings: true,
  });
  expect(await load({ architecture: 'granite', numLayers: 2 })).toMatchObject({
    ...{ qkvBias: false, qkNorm: false, ropeLayout: 'interleaved', unrotatedLayers: [] },
    ...{
      attentionScale: Math.fround(0.08),
      embeddingScale: 12,
      residualScale: Math.fround(0.22),
      logitDivisor: Math.fround(0.6),
    },
  });
  expect((await load({ ropeLinearScale: 1 })).ropeLinearScale).toBeUndefined();
});

test('defaults are those of llama.cpp', async () => {
  const { metadata } = await open({});
  const kept = metadata.keys.filter((key) => !/head_count_kv|freq_base|vocab_size/.test(key));
  const entries = kept.map((key) => [key, key.endsWith('epsilon') ? f32(metadata.number(key)) : metadata.get(key)]);
  const bytes = writeGguf({ metadata: Object.fromEntries(entries) as Record<string, MetadataValue>, tensors: [] });
  const config = readModelConfig(await readGguf(new BytesSource('x.gguf', bytes)));
  expect(config).toMatchObject({ numKvHeads: 4, ropeTheta: 10_000, vocabSize: 273 });
});

test.each<[string, MetadataValue, 'bad_file' | 'unsupported', RegExp]>([
  ['general.architecture', 'gemma2', 'unsupported', /"gemma2".*llama, qwen2, qwen3, granite, smollm3, gemma3/],
  ['general.architecture', 7, 'bad_file', /must be a string/],
  ['llama.block_count', 0, 'bad_file', /from 1 to 1024, but is 0/],
  ['llama.block_count', 2 ** 31, 'bad_file', /from 1 to 1024/],
  ['llama.embedding_length', f32(64.5), 'bad_file', /integer/],
  ['llama.embedding_length', { type: 'i32', value: -64 }, 'bad_file', /-64/],
  ['llama.embedding_length', 80, 'unsupported', /80 is not a multiple of 32/],
  ['llama.feed_forward_length', 100, 'unsupported', /100 is not a multiple of 32/],
  ['llama.feed_forward_length', Uint32Array.of(96, 128), 'unsupported', /from layer to layer/],
  ['llama.feed_forward_length', new Uint32Array(0), 'unsupported', /from layer to layer/],
  ['llama.context_length', 0, 'bad_file', /from 1/],
  ['llama.attention.head_count', 3, 'bad_file', /3 heads do not divide the hidden size 64/],
  ['llama.attention.head_count', 32, 'unsupported', /head of 2 /],
  ['llama.attention.head_count_kv', 3, 'bad_file', /3 key heads do not divide 4/],
  ['llama.attention.key_length', 30, 'unsupported', /head of 30/],
  ['llama.attention.key_length', 20, 'unsupported', /head of 20 is not a multiple of 16 up to 256/],
  ['llama.attention.key_length', 512, 'bad_file', /from 1 to 256/],
  ['llama.attention.value_length', 8, 'unsupported', /8 differs from the head size 16/],
  ['llama.rope.dimension_count', 8, 'unsupported', /8 differs from the head size 16/],
  ['llama.attention.layer_norm_rms_epsilon', f32(0), 'bad_file', /above 0/],
  ['llama.attention.layer_norm_rms_epsilon', f32(NaN), 'bad_file', /above 0/],
  ['llama.rope.freq_base', f32(-1), 'bad_file', /above 0/],
  ['llama.rope.freq_base', f32(Infinity), 'bad_file', /at most/],
  ['llama.rope.scaling.type', 'dynamic', 'unsupported', /"dynamic".*none, linear, yarn/],
  ['llama.rope.scaling.attn_factor', f32(0), 'bad_file', /above 0/],
  ['llama.rope.scaling.original_context_length', 0, 'bad_file', /from 1/],
  ['llama.rope.scaling.factor', f32(-2), 'bad_file', /above 0/],
  ['llama.expert_count', 8, 'unsupported', /mixtures of experts/],
  ['llama.attention.sliding_window', 256, 'unsupported', /256 of 512 tokens/],
  ['llama.final_logit_softcapping', f32(30), 'unsupported', /soft caps/],
  ['tokenizer.ggml.tokens', [], 'bad_file', /0 tokens/],
])('%s = %j is refused as %s', async (field, value, code, reason) => {
  await expectError(() => load({ metadata: { [field]: value } }), code, { file: 'x.gguf', field, reason });
});

test('a multiplier of 0 means none; one of another architecture is ignored; one out of bounds is refused', async () => {
  const none = Object.fromEntries(
    ['attention.scale', 'embedding_scale', 'residual_scale', 'logit_scale'].map((key) => [`granite.${key}`, f32(0)]),
  );
  const { attentionScale, ...others } = await load({ architecture: 'granite', metadata: none });
  expect(attentionScale).toBeUndefined();
  expect(others).toMatchObject({ embeddingScale: 1, residualScale: 1, logitDivisor: 1 });
  expect(await load({ metadata: { 'llama.embedding_scale': f32(12) } })).toMatchObject({ embeddingScale: 1 });
  for (const value of [-1, NaN, Infinity, 1e7, 1e-9]) {
    const field = 'granite.residual_scale';
    await expectError(() => load({ architecture: 'granite', metadata: { [field]: f32(value) } }), 'bad_file', {
      file: 'x.gguf',
      field,
      reason: /must be a/,
    });
  }
});

test('a count may be listed per layer if all are equal', async () => {
  const metadata = { 'llama.attention.head_count_kv': Int32Array.of(2, 2) };
  expect(await load({ metadata })).toMatchObject({ numKvHeads: 2 });
});

test('YaRN is read as llama.cpp reads it', async () => {
  const yarn = (values: Record<string, MetadataValue> = {}) => {
    const all = { type: 'yarn', factor: f32(4), original_context_length: 64, ...values };
    return load({
      metadata: Object.fromEntries(Object.entries(all).map(([key, value]) => [`llama.rope.scaling.${key}`, value])),
    });
  };
  const magnitude = 0.1 * Math.log(4) + 1;
  const plain = { factor: 4, originalContext: 64, betaFast: 32, betaSlow: 1, extFactor: 1, truncate: true };
  const config = await yarn();
  expect(config.yarn).toEqual(plain);
  expect(config.rotaryScale).toBeCloseTo(magnitude, 12);
  expect((await yarn({ attn_factor: f32(0.5) })).rotaryScale).toBeCloseTo(0.5 * magnitude, 12);
  expect((await yarn({ yarn_log_multiplier: f32(1) })).rotaryScale).toBeUndefined();
  expect((await yarn({ yarn_beta_fast: f32(8), yarn_beta_slow: f32(2), yarn_ext_factor: f32(0.5) })).yarn).toEqual({
    ...plain,
    betaFast: 8,
    betaSlow: 2,
    extFactor: 0.5,
  });
  expect(await yarn({ yarn_ext_factor: f32(0) })).toMatchObject({
    yarn: undefined,
    ropeLinearScale: 4,
    rotaryScale: undefined,
  });
  const refused = (
    field: string,
    values: Record<string, MetadataValue>,
    code: 'bad_file' | 'unsupported',
    reason: RegExp,
  ) => expectError(() => yarn(values), code, { file: 'x.gguf', field: `llama.rope.scaling.${field}`, reason });
  await refused(
    'yarn_beta_fast',
    { yarn_beta_fast: f32(1), yarn_beta_slow: f32(2) },
    'bad_file',
    /less than beta_slow/,
  );
  await refused('yarn_ext_factor', { yarn_ext_factor: f32(2) }, 'bad_file', /at most 1/);
  await refused('yarn_attn_factor', { yarn_attn_factor: f32(2) }, 'unsupported', /attn_factor is/);
});

test('Phi-3 has partial rotation, LongRoPE’s divisors, fused linears and a window in every layer', async () => {
  const metadata = { 'phi3.attention.sliding_window': 48 };
  const config = await load({
    architecture: 'phi3',
    headDim: 32,
    numHeads: 2,
    numKvHeads: 1,
    rotaryDim: 24,
    shortContext: 128,
    metadata,
  });
  expect(config).toMatchObject({
    rotaryDim: 24,
    shortContext: 128,
    rotaryScale: Math.fround(1.19),
    window: { tokens: 48, layers: [0, 1] },
  });
  expect(
    (await load({ architecture: 'phi3', metadata: { 'phi3.attention.sliding_window': 512 } })).window,
  ).toBeUndefined();
  const file = await open({
    architecture: 'phi3',
    headDim: 32,
    numHeads: 2,
    numKvHeads: 1,
    rotaryDim: 24,
    shortContext: 128,
  });
  const tensors = checkTensors(file, readModelConfig(file));
  expect(tensors.get('blk.1.attn_k.weight')).toMatchObject({ shape: [32, 64] });
  expect(tensors.get('blk.1.ffn_up.weight')).toMatchObject({ shape: [96, 64] });
  const without = { ...file, tensors: file.tensors.filter(({ name }) => name !== 'rope_factors_long.weight') };
  await expectError(() => checkTensors(without, readModelConfig(without)), 'bad_file', {
    file: 'x.gguf',
    field: 'rope_factors_long.weight',
    reason: /missing/,
  });
  const cut = {
    ...file,
    tensors: file.tensors.map((tensor) =>
      tensor.name === 'blk.0.attn_qkv.weight' ? { ...tensor, shape: [96, 64] } : tensor,
    ),
  };
  await expectError(() => checkTensors(cut, readModelConfig(cut)), 'bad_file', {
    file: 'x.gguf',
    field: 'blk.0.attn_qkv.weight',
    reason: /\[96, 64\].*\[128, 64\]/,
  });
  for (const rotaryDim of [12, 40]) {
    await expectError(
      () => load({ architecture: 'phi3', headDim: 32, numHeads: 2, numKvHeads: 1, rotaryDim }),
      'unsupported',
      { file: 'x.gguf', field: 'phi3.rope.dimension_count', reason: /multiple of 8|differs/ },
    );
  }
});

test('layers without rotation', async () => {
  expect((await load({ architecture: 'smollm3', numLayers: 9 })).unrotatedLayers).toEqual([3, 7]);
  const metadata = { 'granite.rope.scaling.finetuned': false };
  expect((await load({ architecture: 'granite', numLayers: 3, metadata })).unrotatedLayers).toEqual([0, 1, 2]);
});

test('sliding-window layers, and values that Gemma 3’s files omit', async () => {
  const gemma = (metadata: Record<string, MetadataValue> = {}) =>
    load({ architecture: 'gemma3', numLayers: 9, metadata });
  const window = { tokens: 24, layers: [0, 1, 2, 3, 4, 6, 7, 8], ropeTheta: 10_000 };
  expect(await gemma()).toMatchObject({
    window,
    postNorms: true,
    qkNorm: true,
    activation: 'gelu',
    embeddingScale: 8,
    attentionScale: undefined,
  });
  const every = await gemma({ 'gemma3.attention.sliding_window_pattern': 4, 'gemma3.rope.freq_base_swa': f32(5000) });
  expect(every.window).toEqual({ ...window, layers: [0, 1, 2, 4, 5, 6, 8], ropeTheta: 5000 });
  const flags = [true, false, true, false, false, false, false, false, false];
  expect((await gemma({ 'gemma3.attention.sliding_window_pattern': flags })).window).toMatchObject({ layers: [0, 2] });
  expect((await gemma({ 'gemma3.attention.sliding_window': 0 })).window).toBeUndefined();
  // The model with 62 layers scales scores by the head size that hiddenSize / numHeads would give.
  const large = await open({ architecture: 'gemma3', metadata: { 'gemma3.block_count': 62 } });
  expect(readModelConfig(large).attentionScale).toBeCloseTo(1 / Math.sqrt(64 / 4), 12);
  const field = 'gemma3.attention.sliding_window_pattern';
  await expectError(() => gemma({ [field]: [true] }), 'bad_file', {
    file: 'x.gguf',
    field,
    reason: /each of 9 layers/,
  });
  await expectError(() => gemma({ 'gemma3.final_logit_softcapping': f32(30) }), 'unsupported', {
    file: 'x.gguf',
    field: 'gemma3.final_logit_softcapping',
    reason: /soft caps/,
  });
});

test('experts of every layer', async () => {
  const experts = { count: 4, used: 2, intermediateSize: 64 };
  const moe = (metadata: Record<string, MetadataValue> = {}) => load({ architecture: 'qwen3moe', experts, metadata });
  expect(await moe()).toMatchObject({
    experts: { ...experts, firstLayer: 0, shares: 'softmax', normalizes: true },
    qkNorm: true,
  });
  expect((await moe({ 'qwen3moe.expert_weights_norm': false })).experts?.normalizes).toBe(false);
  const refused = (key: string, value: MetadataValue, code: 'bad_file' | 'unsupported', reason: RegExp) =>
    expectError(() => moe({ [`qwen3moe.${key}`]: value }), code, { file: 'x.gguf', field: `qwen3moe.${key}`, reason });
  await refused('expert_count', 0, 'bad_file', /1 to 1024/);
  await refused('expert_used_count', 5, 'bad_file', /goes through 5 experts, but there are 4/);
  await refused('expert_used_count', 65, 'bad_file', /1 to 64/);
  await refused('expert_feed_forward_length', 48, 'unsupported', /48 is not a multiple of 32/);
  await refused('expert_gating_func', 2, 'unsupported', /2 is not supported.*softmax/);
  await refused('expert_weights_scale', f32(2.5), 'unsupported', /times 2.5/);
  await refused('leading_dense_block_count', 2, 'bad_file', /0 to 1/);
  const olmoe = (metadata: Record<string, MetadataValue> = {}) => load({ architecture: 'olmoe', experts, metadata });
  expect(await olmoe()).toMatchObject({
    experts: { ...experts, firstLayer: 0, shares: 'softmax', normalizes: false },
    intermediateSize: 64,
    qkNorm: false,
    normsQkWhole: true,
  });
  await expectError(() => olmoe({ 'olmoe.attention.clamp_kqv': f32(8) }), 'unsupported', {
    file: 'x.gguf',
    field: 'olmoe.attention.clamp_kqv',
    reason: /clamped/,
  });
  const lfm2moe = (metadata: Record<string, MetadataValue> = {}) =>
    load({ architecture: 'lfm2moe', numLayers: 5, experts, metadata });
  expect(await lfm2moe()).toMatchObject({
    experts: { ...experts, firstLayer: 1, shares: 'sigmoid', normalizes: true },
    convolution: { taps: 3, layers: [0, 2, 3] },
  });
  const field = 'lfm2moe.expert_weights_norm';
  await expectError(() => lfm2moe({ [field]: false }), 'unsupported', { file: 'x.gguf', field, reason: /sigmoids/ });
});

test('Gemma 4: two head sizes, shared keys, and per-layer embeddings', async () => {
  const sizes = { architecture: 'gemma4', numLayers: 9, headDim: 32 } as const;
  const gemma = (metadata: Record<string, MetadataValue> = {}) => load({ ...sizes, metadata });
  const window = { tokens: 24, layers: [0, 1, 3, 4, 6, 7], ropeTheta: 5000, headDim: 16 };
  expect(await gemma()).toMatchObject({
    ...{
      window,
      headDim: 32,
      sharedKeys: { from: 6, intermediateSize: 192 },
      intermediateSize: 96,
      perLayerInputs: 32,
    },
    ...{
      valueNorm: true,
      qkNorm: true,
      postNorms: true,
      attentionScale: 1,
      embeddingScale: 8,
      logitCap: 9,
      tiedEmbeddings: true,
    },
  });
  const none = readModelConfig(
    await open({ ...sizes, shared: 0, metadata: { 'gemma4.final_logit_softcapping': f32(0) } }),
  );
  expect([none.sharedKeys, none.logitCap]).toEqual([undefined, undefined]);
  // Files contain keys and values of sharing layers anyway.
  const file = await open(sizes);
  const own = file.tensors.find(({ name }) => name === 'blk.5.attn_k.weight')!;
  const tensors = [
    ...file.tensors,
    ...['k', 'v', 'k_norm'].map((part) => ({ ...own, name: `blk.8.attn_${part}.weight` })),
  ];
  expect(
    [...checkTensors({ ...file, tensors }, readModelConfig(file)).keys()].filter((name) =>
      /blk\.8\.attn_[kv]/.test(name),
    ),
  ).toEqual([]);
  const refused = (code: 'bad_file' | 'unsupported', key: string, value: MetadataValue, reason: RegExp) =>
    expectError(() => gemma({ [`gemma4.${key}`]: value }), code, { file: 'x.gguf', field: `gemma4.${key}`, reason });
  await refused('bad_file', 'attention.shared_kv_layers', 9, /no layer has keys/);
  const field = 'gemma4.attention.shared_kv_layers';
  await expectError(() => gemma({ [field]: 7, 'gemma4.feed_forward_length': 96 }), 'bad_file', {
    file: 'x.gguf',
    field,
    reason: /layer 2 shares keys/,
  });
  await refused('unsupported', 'feed_forward_length', Int32Array.of(96, 96, 96, 96, 96, 96, 192, 96, 192), /differs/);
  await refused('bad_file', 'feed_forward_length', Int32Array.of(96, 96), /each of 9 layers/);
  await refused('unsupported', 'embedding_length_per_layer_input', 0, /E2B and E4B/);
  await refused('unsupported', 'embedding_length_per_layer_input', 40, /multiple of 32/);
  await refused('bad_file', 'attention.key_length', 1024, /1 to 512/);
  await refused('bad_file', 'attention.key_length_swa', 48, /1 to 32/);
  await refused('unsupported', 'rope.dimension_count_swa', 8, /differs from the head size 16/);
  const odd = { ...sizes, numHeads: 3, numKvHeads: 1 };
  await expectError(() => load(odd), 'unsupported', {
    file: 'x.gguf',
    field: 'gemma4.attention.key_length_swa',
    reason: /48 is not a multiple of 32/,
  });
  await refused('unsupported', 'attention.head_count_kv', Int32Array.of(2, 2, 1, 2, 2, 1, 2, 2, 1), /differs/);
  await refused('unsupported', 'expert_count', 8, /mixtures of experts/);
  await refused('unsupported', 'attn_logit_softcapping', f32(30), /soft caps/);
});

test('layers without key heads have a convolution', async () => {
  const lfm2 = (metadata: Record<string, MetadataValue> = {}) => load({ architecture: 'lfm2', numLayers: 5, metadata });
  expect(await lfm2()).toMatchObject({
    numKvHeads: 2,
    convolution: { taps: 3, layers: [0, 2, 3] },
    qkNorm: true,
    tiedEmbeddings: true,
  });
  const field = 'lfm2.attention.head_count_kv';
  await expectError(() => lfm2({ [field]: Int32Array.of(0, 2) }), 'bad_file', {
    file: 'x.gguf',
    field,
    reason: /each of 5 layers/,
  });
  await expectError(() => lfm2({ [field]: new Int32Array(5) }), 'unsupported', {
    file: 'x.gguf',
    field,
    reason: /no layer attends/,
  });
  await expectError(() => lfm2({ [field]: Int32Array.of(0, 2, 0, 1, 0) }), 'unsupported', {
    file: 'x.gguf',
    field,
    reason: /differs/,
  });
  await expectError(() => lfm2({ 'lfm2.shortconv.l_cache': 0 }), 'bad_file', {
    file: 'x.gguf',
    field: 'lfm2.shortconv.l_cache',
    reason: /1 to 32/,
  });
  await expectError(() => lfm2({ 'general.architecture': 'lfm2-vl' }), 'unsupported', {
    file: 'x.gguf',
    field: 'general.architecture',
    reason: /"lfm2-vl".*lfm2/,
  });
  await expectError(() => lfm2({ 'lfm2.feed_forward_length': Int32Array.of(96, 0, 96, 96, 96) }), 'unsupported', {
    file: 'x.gguf',
    field: 'lfm2.feed_forward_length',
    reason: /differs/,
  });
  const llama = 'llama.attention.head_count_kv';
  await expectError(() => load({ metadata: { [llama]: Int32Array.of(0, 2) } }), 'unsupported', {
    file: 'x.gguf',
    field: llama,
    reason: /differs/,
  });
});

test('all but every n-th layer, or the flagged ones, have a delta net; draft layers are skipped', async () => {
  const sizes = { architecture: 'qwen35', numLayers: 5, headDim: 32, rotaryDim: 16 } as const;
  const qwen = async (metadata: Record<string, MetadataValue>) => readModelConfig(await open({ ...sizes, metadata }));
  const deltaNet = {
    numKeyHeads: 4,
    numValueHeads: 8,
    headDim: 16,
    taps: 4,
    valueHeads: 'tiled',
    layers: [0, 1, 2, 4],
  };
  expect(await load(sizes)).toMatchObject({
    deltaNet,
    gatesAttention: true,
    rotaryDim: 16,
    qkNorm: true,
    postNorms: false,
  });
  expect((await qwen({ 'qwen35.full_attention_interval': 2 })).deltaNet?.layers).toEqual([0, 2, 4]);
  expect(
    (await qwen({ 'qwen35.attention.recurrent_layers': [true, false, false, true, true] })).deltaNet?.layers,
  ).toEqual([0, 3, 4]);
  expect((await qwen({ 'qwen35.attention.recurrent_layers': Uint32Array.of(0, 0, 0, 0, 0) })).deltaNet).toBeUndefined();
  expect(await load({ ...sizes, metadata: { 'qwen35.nextn_predict_layers': 1 } })).toMatchObject({
    numLayers: 4,
    deltaNet: { layers: [0, 1, 2] },
  });
  const refused = (code: 'bad_file' | 'unsupported', key: string, value: MetadataValue, reason: RegExp) =>
    expectError(() => qwen({ [`qwen35.${key}`]: value }), code, { file: 'x.gguf', field: `qwen35.${key}`, reason });
  await refused('bad_file', 'attention.recurrent_layers', [true, false], /each of 5 layers/);
  await refused('unsupported', 'full_attention_interval', 6, /no layer attends/);
  await refused('unsupported', 'ssm.state_size', 40, /multiple of 16/);
  await refused('unsupported', 'ssm.time_step_rank', 12, /multiple of 8/);
  await refused('bad_file', 'ssm.group_count', 3, /do not divide/);
  await refused('unsupported', 'ssm.inner_size', 256, /size of key heads/);
  await refused('unsupported', 'ssm.conv_kernel', 1, /one token/);
  await expectError(() => qwen({ 'qwen35.nextn_predict_layers': 5 }), 'bad_file', {
    file: 'x.gguf',
    field: 'qwen35.block_count',
    reason: /draft/,
  });
  expect(await load({ numLayers: 2, metadata: { 'llama.nextn_predict_layers': 1 } })).toMatchObject({ numLayers: 2 }); // such models have none
  for (const count of [1025, ...[-1, -1e6, 0.5, NaN].map(f32)])
    await refused('bad_file', 'nextn_predict_layers', count, /from 0 to 1024/);
});

test('a window as wide as the context counts as none, and rope scaling "none" has no factor', async () => {
  const metadata = { 'llama.attention.sliding_window': 512, 'llama.rope.scaling.type': 'none' };
  expect((await load({ metadata })).ropeLinearScale).toBeUndefined();
});

test('missing, misshapen or unknown tensors are refused by name', async () => {
  const file = await open({ architecture: 'qwen2', tied: false });
  const config = readModelConfig(file);
  const tensors = file.tensors.filter(({ name }) => name !== 'blk.1.attn_k.bias');
  const check = (changed: GgufFile, code: 'bad_file' | 'unsupported', field: string, reason: RegExp): Promise<void> =>
    expectError(() => checkTensors(changed, config), code, { file: 'x.gguf', field, reason });
  await check({ ...file, tensors }, 'bad_file', 'blk.1.attn_k.bias', /missing/);
  const renamed = (from: string, to: string): GgufFile => ({
    ...file,
    tensors: file.tensors.map((tensor) => (tensor.name === from ? { ...tensor, name: to } : tensor)),
  });
  await check(
    renamed('blk.0.ffn_up.weight', 'blk.0.attn_output.bias'),
    'unsupported',
    'blk.0.attn_output.bias',
    /would ignore it/,
  );
  await check(
    renamed('blk.0.ffn_up.weight', 'blk.2.ffn_up.weight'),
    'unsupported',
    'blk.2.ffn_up.weight',
    /would ignore it/,
  );
  const changed = (name: string, change: object): GgufFile => ({
    ...file,
    tensors: file.tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...change } : tensor)),
  });
  const transposed = changed('blk.1.ffn_down.weight', { shape: [96, 64] });
  await check(transposed, 'bad_file', 'blk.1.ffn_down.weight', /\[96, 64\].*\[64, 96\]/);
  await check(changed('output_norm.weight', { type: 'F16' }), 'unsupported', 'output_norm.weight', /F16; only F32/);
  await check(changed('output.weight', { shape: [272, 64] }), 'bad_file', 'output.weight', /\[273, 64\]/);
});

test('a Llama file with biases has them all, or is refused', async () => {
  const qwen2 = await open({ architecture: 'qwen2' });
  const biased = { ...(await open({})), tensors: qwen2.tensors };
  const config = readModelConfig(biased);
  expect(config.qkvBias).toBe(true);
  expect(checkTensors(biased, config).size).toBe(2 + 2 * 12);
});
