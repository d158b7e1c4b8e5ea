import { describe, expect, test } from 'vitest';
import { floatToHalf as referenceHalf, halfToFloat } from '../reference/half.ts';
import { renderChat } from '../../src/tokenizer/chat-template.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { decodeFloats, floatToHalf } from '../../src/weights/float-tensor.ts';
import { quantize, quantized } from '../../src/weights/quantize.ts';
import { JsonFields } from '../../src/weights/safetensors/json-file.ts';
import { tokenizerMetadata } from '../../src/weights/safetensors/hf-tokenizer.ts';
import { GgufMetadata } from '../../src/weights/gguf/gguf-metadata.ts';
import { openSafetensorsModel } from '../../src/weights/safetensors/safetensors-model.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import type { TensorInfo } from '../../src/weights/tensor-info.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { quantize as quantizeIndependently } from '../support/models/quantize.ts';
import { Random } from '../support/random.ts';
import { expectedOf, modelFolder } from '../support/models/safetensors-folder.ts';

const MODELS = [
  'llama',
  'llama3',
  'qwen2',
  'qwen3',
  'granite',
  'smollm3',
  'gemma3',
  'gemma3-images',
  'gemma4',
  'lfm2',
  'qwen35',
  'qwen3moe',
  'lfm2moe',
  'olmoe',
];

describe('texts', () => {
  test.each(MODELS)('%s: ids and chat equal the saved tokenizer’s', async (model) => {
    const metadata = readTokenizerMetadata(await openSafetensorsModel(modelFolder(model)));
    const { text, ids, chat, chatText } = expectedOf(model);
    const tokenizer = createTokenizer(metadata);
    expect(tokenizer.encode(text, { parseSpecial: true })).toEqual(ids);
    expect(renderChat(metadata, chat)).toBe(chatText);
    const isGemma = model.startsWith('gemma');
    expect(tokenizer.addBos).toBe(['llama3', 'lfm2', 'lfm2moe'].includes(model) || isGemma);
    expect([...tokenizer.eosIds]).toContain(isGemma ? 5 : 2);
  });

  test('llama2: SentencePiece, whose merges give its scores', async () => {
    const files = modelFolder('llama2');
    const read = (name: string) => JsonFields.read(files.find((file) => file.name === name)!);
    const config = await JsonFields.read(
      new BytesSource('config.json', new TextEncoder().encode('{"vocab_size": 300}')),
    );
    const parts = { tokenizer: await read('tokenizer.json'), tokenizerConfig: await read('tokenizer_config.json') };
    const values = tokenizerMetadata({ ...parts, config, generationConfig: undefined, chatTemplate: undefined });
    const tokenizer = createTokenizer(readTokenizerMetadata({ metadata: new GgufMetadata('llama2', values) }));
    const { text, ids } = expectedOf('llama2');
    expect(tokenizer.encode(text, { parseSpecial: true })).toEqual(ids);
    expect([tokenizer.addBos, tokenizer.bosId, [...tokenizer.eosIds]]).toEqual([true, 1, [2]]);
  });
});

test('a token of another modality without an embedding row is plain text', async () => {
  const added = (text: string): string => {
    const tokenizer = JSON.parse(text) as { added_tokens: { id: number }[] };
    return JSON.stringify({
      ...tokenizer,
      added_tokens: [...tokenizer.added_tokens, { ...tokenizer.added_tokens[0], id: 5000, content: '<image>' }],
    });
  };
  const ids = async (change: Parameters<typeof modelFolder>[1]) =>
    createTokenizer(readTokenizerMetadata(await openSafetensorsModel(modelFolder('gemma3', change)))).encode(
      'an <image>',
      { parseSpecial: true },
    );
  expect(await ids({ 'tokenizer.json': added })).toEqual(await ids({}));
});

test('the config equals the model’s, with rows in their own order', async () => {
  const model = await openSafetensorsModel(modelFolder('llama3'));
  const config = readModelConfig(model);
  expect(config).toMatchObject({
    architecture: 'llama',
    numLayers: 2,
    headDim: 16,
    numKvHeads: 1,
    ropeTheta: 10_000,
    ropeLayout: 'half',
    tiedEmbeddings: true,
  });
  const tensors = checkTensors(model, config);
  expect(tensors.get('rope_freqs.weight')?.shape).toEqual([8]);
  expect(tensors.get('blk.1.attn_k.weight')).toMatchObject({ type: 'BF16', shape: [16, 32] });
  expect(tensors.get('output_norm.weight')?.type).toBe('F32');
});

const edit =
  (key: string, value: unknown) =>
  (text: string): string =>
    JSON.stringify({ ...(JSON.parse(text) as object), [key]: value });

/** The config without these keys, and with these values. */
const change =
  (without: readonly string[], values: object = {}) =>
  (text: string): string => {
    const kept = Object.entries(JSON.parse(text) as object).filter(([key]) => !without.includes(key));
    return JSON.stringify({ ...Object.fromEntries(kept), ...values });
  };
const configOf = async (model: string, edited: (text: string) => string) =>
  readModelConfig(await openSafetensorsModel(modelFolder(model, { 'config.json': edited })));

test('missing keys have transformers’ defaults', async () => {
  const without = [
    'rms_norm_eps',
    'max_position_embeddings',
    'rope_parameters',
    'hidden_act',
    'num_key_value_heads',
    'head_dim',
  ];
  expect(await configOf('llama', change(without))).toMatchObject({
    rmsNormEps: 1e-6,
    contextLength: 2048,
    ropeTheta: 10_000,
    numKvHeads: 2,
    headDim: 16,
  });
  const mistral = { model_type: 'mistral', num_attention_heads: 8, sliding_window: null };
  expect(
    await configOf('llama', change([...without, 'sliding_window'], { ...mistral, hidden_size: 256 })),
  ).toMatchObject({ contextLength: 131_072, numKvHeads: 8, headDim: 32 });
  const qwen = await configOf('qwen2', change(without, { num_attention_heads: 32, hidden_size: 512 }));
  expect(qwen).toMatchObject({ rmsNormEps: 1e-6, contextLength: 32_768, numKvHeads: 32, headDim: 16 });
  expect((await configOf('qwen2', change([], { num_key_value_heads: null }))).numKvHeads).toBe(2);
  expect((await configOf('qwen3', change(['head_dim']))).headDim).toBe(128);
});

test('multipliers have transformers’ names and defaults', async () => {
  const names = ['attention_multiplier', 'embedding_multiplier', 'residual_multiplier', 'logits_scaling'];
  expect(await configOf('granite', change([]))).toMatchObject({
    attentionScale: 0.35,
    embeddingScale: 6,
    residualScale: 0.4,
    logitDivisor: 0.6,
  });
  expect(await configOf('granite', change(names))).toMatchObject({
    attentionScale: 1,
    embeddingScale: 1,
    residualScale: 1,
    logitDivisor: 1,
  });
  for (const name of names)
    await expectError(() => configOf('granite', edit(name, 0)), 'bad_file', {
      file: 'config.json',
      field: name,
      reason: /above 0/,
    });
  expect(await configOf('llama', change([], { embedding_multiplier: 6 }))).toMatchObject({ embeddingScale: 1 });
});

test('a config may list layers without rotation', async () => {
  const layers = async (edited: (text: string) => string) => (await configOf('smollm3', edited)).unrotatedLayers;
  expect(await layers(change([]))).toEqual([1]);
  expect(await layers(change(['no_rope_layers']))).toEqual([1]); // every second
  expect(await layers(change(['no_rope_layers', 'no_rope_layer_interval']))).toEqual([]); // every fourth
  expect(await layers(edit('no_rope_layers', [0, 1, 1]))).toEqual([0]);
  for (const flags of [[1], [1, 2], '01']) {
    await expectError(() => layers(edit('no_rope_layers', flags)), 'bad_file', {
      file: 'config.json',
      field: 'no_rope_layers',
      reason: /must be/,
    });
  }
  const sliding = { use_sliding_window: true, sliding_window: 16 };
  await expectError(() => layers(change(['layer_types'], sliding)), 'unsupported', {
    file: 'config.json',
    reason: /sliding-window/,
  });
  // transformers gives such layers a window, used or not, and fails without its size.
  const types = ['sliding_attention', 'full_attention'];
  for (const [values, code, field] of [
    [{ sliding_window: 16 }, 'unsupported', 'use_sliding_window'],
    [{ use_sliding_window: true, sliding_window: null }, 'bad_file', 'sliding_window'],
  ] as const)
    await expectError(() => layers(change([], { layer_types: types, ...values })), code, {
      file: 'config.json',
      field,
      reason: /\w/,
    });
  expect((await configOf('smollm3', change(['rope_parameters']))).ropeTheta).toBe(2_000_000);
});

test('an output matrix with other values than the embeddings is used even if the config ties them', async () => {
  const tied = { 'config.json': edit('tie_word_embeddings', true) };
  expect(readModelConfig(await openSafetensorsModel(modelFolder('qwen2', tied))).tiedEmbeddings).toBe(false);
  const model = modelFolder('llama', tied);
  const { tensors } = await openSafetensorsModel(model);
  const { source, offset, bytes, shape } = tensors.find(({ name }) => name === 'token_embd.weight') as TensorInfo;
  const twice = Uint8Array.from(await source.read(offset, bytes));
  const beside = (data: Uint8Array): BytesSource => {
    const header = { 'lm_head.weight': { dtype: 'F32', shape, data_offsets: [0, bytes] } };
    const text = new TextEncoder().encode(JSON.stringify(header));
    const file = new Uint8Array(8 + text.length + bytes);
    new DataView(file.buffer).setUint32(0, text.length, true);
    file.set(text, 8);
    file.set(data, 8 + text.length);
    return new BytesSource('head.safetensors', file);
  };
  const isTied = async (data: Uint8Array): Promise<boolean> =>
    readModelConfig(await openSafetensorsModel([...model, beside(data)])).tiedEmbeddings;
  expect(await isTied(twice)).toBe(true);
  twice[bytes - 1]! ^= 1;
  expect(await isTied(twice)).toBe(false);
});

test('an output matrix without embeddings is refused, naming the missing tensor, even if the config ties them', async () => {
  for (const ties of [true, false]) {
    const folder = modelFolder('llama', { 'config.json': edit('tie_word_embeddings', ties) });
    const file = folder.find(({ name }) => name === 'model.safetensors')!;
    const bytes = await file.read(0, file.size); // a view
    const embeddings = '"model.embed_tokens.weight"';
    const at = Buffer.from(bytes).indexOf(embeddings);
    expect(at).toBeGreaterThan(0);
    new TextEncoder().encodeInto('"lm_head.weight"'.padEnd(embeddings.length), bytes.subarray(at));
    await expectError(() => openSafetensorsModel(folder), 'bad_file', {
      file: 'config.json',
      field: 'vocab_size',
      reason: /but the embeddings are missing$/,
    });
  }
});

test('YaRN and LongRoPE are read as transformers reads them', async () => {
  const yarn = { rope_type: 'yarn', rope_theta: 20_000, factor: 4, original_max_position_embeddings: 32 };
  const of = async (rope: object, others = {}) => configOf('llama', change([], { rope_parameters: rope, ...others }));
  const plain = { factor: 4, originalContext: 32, betaFast: 32, betaSlow: 1, extFactor: 1, truncate: true };
  expect(await of(yarn)).toMatchObject({ ropeTheta: 20_000, yarn: plain });
  expect((await of(yarn, { rope_theta: 5e5 })).ropeTheta).toBe(20_000);
  const scaleOf = async (rope: object, others = {}) => (await of(rope, others)).rotaryScale;
  expect(await scaleOf(yarn)).toBeCloseTo(0.1 * Math.log(4) + 1, 12);
  expect(await scaleOf({ ...yarn, attention_factor: 0.7 })).toBeCloseTo(0.7, 12);
  expect(await scaleOf({ ...yarn, mscale: 2, mscale_all_dim: 0.5 })).toBeCloseTo(
    (0.2 * Math.log(4) + 1) / (0.05 * Math.log(4) + 1),
    12,
  );
  expect(await scaleOf({ ...yarn, mscale: 2 })).toBeCloseTo(0.1 * Math.log(4) + 1, 12);
  expect((await of({ ...yarn, beta_fast: 16, beta_slow: 2, truncate: false })).yarn).toEqual({
    ...plain,
    betaFast: 16,
    betaSlow: 2,
    truncate: false,
  });
  expect((await of({ ...yarn, factor: null }, { max_position_embeddings: 256 })).yarn?.factor).toBe(8);
  // Top-level fields have priority over the rope's, and before version 5 these had another name.
  expect((await of(yarn, { original_max_position_embeddings: 64 })).yarn?.originalContext).toBe(64);
  expect(
    (await of({ rope_type: 'default' }, { rope_scaling: { ...yarn, rope_type: undefined, type: 'yarn' } })).yarn,
  ).toEqual(plain);
  const factors = { long_factor: Array(8).fill(3), short_factor: Array(8).fill(1) };
  const long = {
    rope_parameters: { type: 'su', ...factors },
    original_max_position_embeddings: 32,
    max_position_embeddings: 128,
  };
  const config = await configOf('llama', change([], long));
  expect(config).toMatchObject({ shortContext: 32, rotaryScale: Math.sqrt(1 + Math.log(4) / Math.log(32)) });
});

test('Ministral 3 with a vision model', async () => {
  const wrap = (text: string): string =>
    JSON.stringify({
      model_type: 'mistral3',
      vision_config: {},
      text_config: { ...(JSON.parse(text) as object), model_type: 'ministral3', rope_parameters: undefined },
    });
  const config = await configOf('llama', wrap);
  expect(config).toMatchObject({
    architecture: 'mistral3',
    ropeTheta: 1e6,
    temperature: { beta: 0.1, tokens: 16_384 },
    yarn: { factor: 16, originalContext: 16_384 },
  });
  expect(config.rotaryScale).toBeUndefined();
});

test('Gemma 3: windows, rotations and scales, under the names of every version, and in a vision model', async () => {
  const window = { tokens: 5, layers: [0, 1, 3], ropeTheta: 10_000 };
  const wanted = {
    attentionScale: 24 ** -0.5,
    embeddingScale: Math.sqrt(32),
    ropeTheta: 1e6,
    ropeLinearScale: 8,
    headDim: 32,
    window,
  };
  expect(await configOf('gemma3', change([]))).toMatchObject(wanted);
  expect(await configOf('gemma3-images', change([]))).toMatchObject(wanted);
  const older = {
    rope_theta: 5e5,
    rope_local_base_freq: 2e4,
    rope_scaling: { rope_type: 'linear', factor: 4 },
    sliding_window_pattern: 2,
  };
  const found = await configOf('gemma3', change(['rope_parameters', 'layer_types', 'hidden_activation'], older));
  expect(found).toMatchObject({
    ropeTheta: 5e5,
    ropeLinearScale: 4,
    window: { tokens: 5, layers: [0, 2], ropeTheta: 2e4 },
  });
  const bare = await configOf('gemma3', change(['rope_parameters', 'layer_types', 'query_pre_attn_scalar']));
  expect(bare).toMatchObject({
    ropeTheta: 1e6,
    ropeLinearScale: undefined,
    attentionScale: 1 / 16,
    window: { layers: [0, 1, 2, 3], ropeTheta: 10_000 },
  });
  const refused = (values: object, code: 'bad_file' | 'unsupported', field: string, reason: RegExp) =>
    expectError(() => configOf('gemma3', change([], values)), code, { file: 'config.json', field, reason });
  await refused({ final_logit_softcapping: 30 }, 'unsupported', 'final_logit_softcapping', /soft caps/);
  await refused({ use_bidirectional_attention: true }, 'bad_file', 'modules.json', /names its pooling/); // an encoder is
  await refused({ layer_types: ['full_attention'] }, 'bad_file', 'layer_types', /each of 4 layers/);
  await refused({ sliding_window: null }, 'bad_file', 'sliding_window', /null/);
  const flat = { rope_parameters: { rope_type: 'linear', factor: 8, rope_theta: 1e6 } };
  await refused(flat, 'unsupported', 'rope_parameters.rope_type', /two rotations/);
  const scaled = { rope_parameters: { sliding_attention: { rope_type: 'linear', factor: 2 }, full_attention: {} } };
  await refused(scaled, 'unsupported', 'rope_parameters.sliding_attention.rope_type', /no RoPE scaling/);
});

test('Gemma 4: two head sizes in Google’s and in transformers’ form, shared keys, and features of larger models', async () => {
  const window = { tokens: 5, layers: [0, 2, 3, 5, 6], ropeTheta: 10_000, headDim: 16 };
  const wanted = {
    headDim: 32,
    window,
    sharedKeys: { from: 5, intermediateSize: 64 },
    intermediateSize: 32,
    perLayerInputs: 32,
    logitCap: 3,
    attentionScale: 1,
    ropeTheta: 1e6,
  };
  expect(await configOf('gemma4', change([]))).toMatchObject(wanted);
  expect(
    await configOf('gemma4', change(['per_layer_config', 'rope_parameters'], { global_head_dim: 32 })),
  ).toMatchObject(wanted);
  const inner = (text: string): string =>
    JSON.stringify({
      model_type: 'gemma4',
      vision_config: {},
      audio_config: {},
      text_config: { ...(JSON.parse(text) as object), model_type: 'gemma4_text' },
    });
  expect(await configOf('gemma4', inner)).toMatchObject(wanted);
  const narrow = await configOf('gemma4', change([], { use_double_wide_mlp: false, final_logit_softcapping: null }));
  expect([narrow.sharedKeys?.intermediateSize, narrow.logitCap]).toEqual([32, undefined]);
  const header = await openSafetensorsModel(modelFolder('gemma4'), 'Q8_0');
  const of = (name: string) => header.tensors.find((tensor) => tensor.name === name)!;
  const divisors = decodeFloats('F32', await of('rope_freqs.weight').source.read(0, 64));
  expect([...divisors]).toEqual([1, 1, 1, 1, ...Array<number>(12).fill(Math.fround(1e30))]);
  // Tensors that stay off the GPU keep their type.
  expect([
    of('per_layer_token_embd.weight').type,
    of('blk.0.inp_gate.weight').type,
    of('blk.0.layer_output_scale.weight').type,
  ]).toEqual(['BF16', 'Q8_0', 'F32']);
  const refused = (values: object, code: 'bad_file' | 'unsupported', field: string, reason: RegExp) =>
    expectError(() => configOf('gemma4', change([], values)), code, { file: 'config.json', field, reason });
  await refused({ enable_moe_block: true }, 'unsupported', 'enable_moe_block', /experts/);
  await refused({ attention_k_eq_v: true }, 'unsupported', 'attention_k_eq_v', /shared key and value/);
  await refused({ hidden_size_per_layer_input: 0 }, 'unsupported', 'hidden_size_per_layer_input', /E2B and E4B/);
  await refused(
    { vocab_size_per_layer_input: 100 },
    'unsupported',
    'vocab_size_per_layer_input',
    /differs from vocab_size/,
  );
  await refused({ use_bidirectional_attention: 'all' }, 'unsupported', 'use_bidirectional_attention', /later tokens/);
  await refused(
    { layer_types: Array<string>(8).fill('sliding_attention') },
    'unsupported',
    'layer_types',
    /last layer/,
  );
  await refused(
    { layer_types: null, per_layer_config: null, global_head_dim: 32 },
    'unsupported',
    'layer_types',
    /last layer/,
  );
  await refused(
    { per_layer_config: { 1: { head_dim: 64 }, 4: { head_dim: 32 }, 7: { head_dim: 32 } } },
    'unsupported',
    'per_layer_config',
    /equal heads/,
  );
  await refused(
    { per_layer_config: { 1: { num_key_value_heads: 2 } } },
    'unsupported',
    'per_layer_config.1',
    /head size only/,
  );
  await refused({ attn_logit_softcapping: 30 }, 'unsupported', 'attn_logit_softcapping', /soft caps/);
  for (const other of ['gemma4_unified', 'gemma3n'])
    await refused({ model_type: other }, 'unsupported', 'model_type', new RegExp(`"${other}" is not supported`));
});

test('LFM2: convolution layers and the MLP width', async () => {
  const convolution = { taps: 3, layers: [0, 2, 3] };
  expect(await configOf('lfm2', change([]))).toMatchObject({
    convolution,
    intermediateSize: 64,
    rmsNormEps: 1e-5,
    numKvHeads: 1,
    qkNorm: true,
    tiedEmbeddings: true,
  });
  const found = await configOf(
    'lfm2',
    change(['layer_types', 'norm_eps', 'rope_parameters'], {
      full_attn_idxs: [0, 3],
      block_auto_adjust_ff_dim: false,
      block_ff_dim: 96,
    }),
  );
  expect(found).toMatchObject({
    convolution: { taps: 3, layers: [1, 2, 4] },
    intermediateSize: 96,
    rmsNormEps: 1e-5,
    ropeTheta: 1e6,
  });
  expect(await configOf('lfm2', change([], { block_ffn_dim_multiplier: null, intermediate_size: 96 }))).toMatchObject({
    intermediateSize: 64,
  });
  expect((await configOf('lfm2', change(['layer_types']))).convolution).toBeUndefined();
  const refused = (values: object, code: 'bad_file' | 'unsupported', field: string, reason: RegExp) =>
    expectError(() => configOf('lfm2', change([], values)), code, { file: 'config.json', field, reason });
  await refused({ model_type: 'lfm2_vl' }, 'unsupported', 'model_type', /"lfm2_vl" is not supported/);
  await refused({ conv_bias: true }, 'unsupported', 'conv_bias', /biases/);
  await refused({ layer_types: ['conv'] }, 'bad_file', 'layer_types', /each of 5 layers/);
  await refused({ layer_types: Array<string>(5).fill('conv') }, 'unsupported', 'layer_types', /no layer attends/);
  await refused({ conv_L_cache: 33 }, 'bad_file', 'conv_L_cache', /1 to 32/);
  await refused({ norm_eps: null, rms_norm_eps: null }, 'bad_file', 'rms_norm_eps', /null/);
  await refused({ tie_embedding: false }, 'bad_file', 'tie_word_embeddings', /lm_head/);
});

test('Qwen3-MoE: one tensor per expert in the files, one per layer after reading', async () => {
  const experts = { count: 6, used: 2, intermediateSize: 32, firstLayer: 0, shares: 'softmax', normalizes: true };
  expect(await configOf('qwen3moe', change([]))).toMatchObject({
    architecture: 'qwen3moe',
    experts,
    headDim: 32,
    qkNorm: true,
  });
  expect((await configOf('qwen3moe', change(['norm_topk_prob']))).experts?.normalizes).toBe(false);
  const renamed = change(['num_experts', 'num_local_experts'], { num_experts: 6 });
  expect((await configOf('qwen3moe', renamed)).experts?.count).toBe(6);
  const refused = (values: object, code: 'bad_file' | 'unsupported', field: string, reason: RegExp) =>
    expectError(() => configOf('qwen3moe', change([], values)), code, { file: 'config.json', field, reason });
  await refused({ mlp_only_layers: [0] }, 'unsupported', 'mlp_only_layers', /layers without experts/);
  await refused({ decoder_sparse_step: 2 }, 'unsupported', 'decoder_sparse_step', /layers without experts/);
  await refused({ num_experts_per_tok: 0 }, 'bad_file', 'num_experts_per_tok', /1 to 64/);
});

test('OLMoE: experts have the config’s MLP width, and q and k are normed over all heads', async () => {
  const experts = { count: 6, used: 2, intermediateSize: 64, firstLayer: 0, shares: 'softmax', normalizes: false };
  const model = await openSafetensorsModel(modelFolder('olmoe'));
  const config = readModelConfig(model);
  expect(config).toMatchObject({
    architecture: 'olmoe',
    experts,
    intermediateSize: 64,
    qkNorm: false,
    normsQkWhole: true,
    rmsNormEps: 1e-5,
  });
  const tensors = checkTensors(model, config);
  expect(['q', 'k'].map((part) => tensors.get(`blk.0.attn_${part}_norm.weight`)?.shape)).toEqual([[32], [16]]);
  expect((await configOf('olmoe', change([], { norm_topk_prob: true }))).experts?.normalizes).toBe(true);
  await expectError(() => configOf('olmoe', change([], { clip_qkv: 8 })), 'unsupported', {
    file: 'config.json',
    field: 'clip_qkv',
    reason: /clamped/,
  });
});

test('LFM2-MoE: its first layers have an MLP, its experts a bias', async () => {
  const experts = { count: 6, used: 2, intermediateSize: 32, firstLayer: 2, shares: 'sigmoid', normalizes: true };
  expect(await configOf('lfm2moe', change([]))).toMatchObject({
    architecture: 'lfm2moe',
    experts,
    intermediateSize: 64,
  });
  const refused = (values: object, field: string, reason: RegExp) =>
    expectError(() => configOf('lfm2moe', change([], values)), 'unsupported', { file: 'config.json', field, reason });
  await refused({ use_expert_bias: false }, 'use_expert_bias', /without biases/);
  await refused({ routed_scaling_factor: 2 }, 'lfm2moe.expert_weights_scale', /times 2/);
  await refused({ norm_topk_prob: false }, 'lfm2moe.expert_weights_norm', /sigmoids/);
});

test('swish is silu; a window counts only where a layer uses it', async () => {
  expect((await configOf('llama', change([], { hidden_act: 'swish' }))).numLayers).toBe(1);
  const sliding = { use_sliding_window: true, sliding_window: 16 };
  expect((await configOf('qwen2', change(['layer_types'], sliding))).numLayers).toBe(1);
  expect((await configOf('qwen2', change([], sliding))).numLayers).toBe(1);
  const refused = (model: string, edited: (text: string) => string) =>
    expectError(() => configOf(model, edited), 'unsupported', { file: 'config.json', reason: /sliding-window/ });
  await refused('qwen2', change(['layer_types'], { ...sliding, max_window_layers: 0 }));
  await refused('qwen2', change([], { ...sliding, layer_types: ['sliding_attention'] }));
  await refused(
    'llama',
    change(['sliding_window', 'max_position_embeddings'], { model_type: 'mistral', num_key_value_heads: 1 }),
  ); // 4,096 by default
});

test.each<[string, string, string, (text: string) => string | undefined, ['bad_file' | 'unsupported', string, RegExp]]>(
  [
    [
      'another architecture',
      'llama',
      'config.json',
      edit('model_type', 'gemma2'),
      ['unsupported', 'model_type', /gemma2.*llama, mistral/],
    ],
    [
      'no layers',
      'llama',
      'config.json',
      edit('num_hidden_layers', undefined),
      ['bad_file', 'num_hidden_layers', /missing/],
    ],
    [
      'layers that are no number',
      'llama',
      'config.json',
      edit('num_hidden_layers', '2'),
      ['bad_file', 'num_hidden_layers', /number/],
    ],
    ['another activation', 'llama', 'config.json', edit('hidden_act', 'gelu'), ['unsupported', 'hidden_act', /gelu/]],
    [
      'quantized weights',
      'llama',
      'config.json',
      edit('quantization_config', { bits: 4 }),
      ['unsupported', 'quantization_config', /F16/],
    ],
    [
      'scaling it does not know',
      'llama',
      'config.json',
      edit('rope_parameters', { rope_type: 'dynamic', factor: 2 }),
      ['unsupported', 'rope_parameters.rope_type', /"dynamic".*yarn/],
    ],
    [
      'YaRN without its factor',
      'llama',
      'config.json',
      edit('rope_parameters', { rope_type: 'yarn' }),
      ['bad_file', 'rope_parameters.factor', /missing/],
    ],
    [
      'YaRN that says otherwise',
      'llama',
      'config.json',
      edit('rope_parameters', { rope_type: 'yarn', factor: 2, truncate: 1 }),
      ['bad_file', 'rope_parameters.truncate', /true or false/],
    ],
    [
      'LongRoPE of another length',
      'llama',
      'config.json',
      edit('rope_parameters', { rope_type: 'longrope', long_factor: [1, 2], short_factor: [1, 2] }),
      ['bad_file', 'rope_parameters.short_factor', /8 numbers/],
    ],
    [
      'heads rotated in part',
      'llama',
      'config.json',
      edit('partial_rotary_factor', 0.5),
      ['unsupported', 'partial_rotary_factor', /partial rotation/],
    ],
    [
      'an output that is not there',
      'llama',
      'config.json',
      edit('tie_word_embeddings', undefined),
      ['bad_file', 'tie_word_embeddings', /no lm_head/],
    ],
    ['no config', 'llama', 'config.json', () => undefined, ['bad_file', 'config.json', /missing/]],
    ['no tokenizer', 'llama', 'tokenizer.json', () => undefined, ['bad_file', 'tokenizer.json', /missing/]],
    [
      'a tokenizer of another kind',
      'llama',
      'tokenizer.json',
      edit('model', { type: 'Unigram' }),
      ['unsupported', 'model.type', /Unigram/],
    ],
    [
      'another way to cut text',
      'llama',
      'tokenizer.json',
      edit('pre_tokenizer', { type: 'Whitespace' }),
      ['unsupported', 'pre_tokenizer', /Whitespace/],
    ],
    [
      'another normalizer',
      'llama',
      'tokenizer.json',
      edit('normalizer', { type: 'Lowercase' }),
      ['unsupported', 'normalizer', /Lowercase/],
    ],
    [
      'fewer rows than tokens',
      'llama',
      'config.json',
      edit('vocab_size', 100),
      ['bad_file', 'model.vocab.', /100 tokens/],
    ],
    [
      'an index that names another file',
      'llama3',
      'model.safetensors.index.json',
      edit('weight_map', { 'model.norm.weight': 'x' }),
      ['bad_file', 'model.norm.weight', /should be in x/],
    ],
  ],
)('%s is refused, naming file and field', async (_, model, file, change, [code, field, reason]) => {
  const opening = () => openSafetensorsModel(modelFolder(model, { [file]: change }));
  if (field.endsWith('.')) await expectError(opening, code, { file: 'tokenizer.json', reason });
  else await expectError(opening, code, { ...(change('{}') !== undefined && { file }), field, reason });
});

test('invalid JSON, a missing shard, an unknown tensor', async () => {
  await expectError(
    () => openSafetensorsModel(modelFolder('llama', { 'config.json': () => '{"model_type": ' })),
    'bad_file',
    { file: 'config.json', reason: /not JSON/ },
  );
  const shards = modelFolder('llama3').filter(({ name }) => !name.includes('00002-of'));
  await expectError(() => openSafetensorsModel(shards), 'bad_file', {
    file: 'model.safetensors.index.json',
    reason: /should be in model-00002/,
  });
  const twice = modelFolder('llama').flatMap((file) => (file.name === 'model.safetensors' ? [file, file] : [file]));
  await expectError(() => openSafetensorsModel(twice), 'bad_file', { reason: /is also in/ });
});

describe('quantizing', () => {
  const random = new Random(8);
  const values = random.normals(64 * 32, 0.2).fill(0, 32, 64);

  test.each(['F16', 'Q8_0', 'Q4_1'] as const)('%s: the bytes of another implementation', (type) => {
    expect(quantize(type, values)).toEqual(quantizeIndependently(type, values));
  });

  test('every half is exact, and other values round as in the reference', () => {
    const wrong: number[] = [];
    for (let half = 0; half < 65_536; half++) {
      const value = halfToFloat(half);
      if (!Number.isNaN(value) && floatToHalf(value) !== half) wrong.push(value);
    }
    for (let i = 0; i < 20_000; i++) {
      const value = random.normal() * 10 ** (random.normal() * 3);
      if (floatToHalf(Math.fround(value)) !== referenceHalf(Math.fround(value))) wrong.push(value);
    }
    expect(wrong).toEqual([]);
  });

  test('a tensor reads the same from any byte', async () => {
    const many = random.normals(3 * 2 ** 17 + 64, 1);
    const source = new BytesSource('model.safetensors', new Uint8Array(many.buffer));
    const tensor = {
      name: 'x',
      shape: [many.length / 32, 32],
      type: 'F32' as const,
      bytes: many.length * 4,
      offset: 0,
      source,
    };
    const whole = quantize('Q8_0', many);
    const { bytes, source: read } = quantized(tensor, 'Q8_0');
    expect(bytes).toBe(whole.length);
    for (const [offset, length] of [
      [0, whole.length],
      [5, 100],
      [139_263, 3],
      [139_264, 200_001],
      [whole.length - 1, 1],
      [7, 0],
    ] as const) {
      expect(await read.read(offset, length)).toEqual(whole.slice(offset, offset + length));
    }
    await expectError(() => read.read(whole.length, 1), 'bad_file', { reason: /ends at/ });
  });
});
