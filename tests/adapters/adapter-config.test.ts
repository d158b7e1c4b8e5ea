import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { type AdapterConfig, parseAdapterConfig } from '../../src/adapters/adapter-config.ts';
import { linearsOfLayer } from '../../src/architectures/linears.ts';
import { transformersName } from '../../src/adapters/module-names.ts';
import { parseTransformersName } from '../../src/adapters/module-places.ts';
import { expectError } from '../support/expect-error.ts';

const FILE = 'adapter_config.json';
const BASE = { peft_type: 'LORA', r: 16, lora_alpha: 32, target_modules: ['q_proj'] };
const parse = (fields: object): AdapterConfig => parseAdapterConfig(JSON.stringify({ ...BASE, ...fields }), FILE);

interface Semantics {
  targets: { config: Record<string, unknown>; names: string[] }[];
  patterns: { keys: string[]; chosen: Record<string, string> }[];
}
const semantics = JSON.parse(await readFile(new URL('./peft-semantics.json', import.meta.url), 'utf8')) as Semantics;
const NAMES = Array.from({ length: 12 }, (_, layer) =>
  linearsOfLayer({}, layer).map((linear) => transformersName({ layer, linear })),
).flat();

test.each(semantics.targets)("targets match PEFT's: $config", ({ config, names }) => {
  const { isTargeted } = parse(config);
  expect(NAMES.filter(isTargeted)).toEqual(names);
});

test.each(semantics.patterns)('ranks and alphas come from the key chosen by PEFT: $keys', ({ keys, chosen }) => {
  const ranks = Object.fromEntries(keys.map((key, i) => [key, i + 1]));
  const alphas = Object.fromEntries(keys.map((key, i) => [key, 100 * (i + 1)]));
  const config = parse({ target_modules: 'all-linear', rank_pattern: ranks, alpha_pattern: alphas });
  for (const name of NAMES) {
    const key = chosen[name];
    const rank = key === undefined ? 16 : ranks[key]!;
    expect([name, config.rankOf(name)]).toEqual([name, rank]);
    expect(config.scaleOf(name)).toBe((key === undefined ? 32 : alphas[key]!) / rank);
  }
});

test("the scale is the module's alpha / r, and alpha / sqrt(r) for rsLoRA", () => {
  const name = NAMES[0]!;
  expect(parse({}).scaleOf(name)).toBe(2);
  expect(parse({ use_rslora: true }).scaleOf(name)).toBe(8);
  expect(parse({ use_rslora: true, rank_pattern: { q_proj: 64 } }).scaleOf(name)).toBe(4);
  expect(parse({ r: null, lora_alpha: null }).scaleOf(name)).toBe(1);
});

test('all-linear targets every linear of the layers, case-insensitively', () => {
  expect(NAMES.filter(parse({ target_modules: 'All-Linear' }).isTargeted)).toEqual(NAMES);
});

test('names are mapped one to one', () => {
  const ofLfm2 = [
    'self_attn.out_proj',
    'conv.in_proj',
    'conv.out_proj',
    'feed_forward.w1',
    'feed_forward.w2',
    'feed_forward.w3',
  ].map((path) => `model.layers.3.${path}`);
  for (const name of [...NAMES, ...ofLfm2]) expect(transformersName(parseTransformersName(name)!)).toBe(name);
  for (const root of ['model.language_model.', 'language_model.model.'])
    expect(transformersName(parseTransformersName(`${root}layers.3.mlp.up_proj`)!)).toBe(`${root}layers.3.mlp.up_proj`);
  expect(parseTransformersName('model.vision_tower.layers.3.mlp.up_proj')).toBeUndefined();
  expect(parseTransformersName('model.layers.3.conv.conv')).toBeUndefined();
  expect(parseTransformersName('model.layers.01.self_attn.q_proj')).toBeUndefined();
  expect(parseTransformersName('model.layers.1.mlp.q_proj')).toBeUndefined();
});

test('a full PEFT config is accepted; unknown fields that are set are refused by name', async () => {
  const full = {
    alora_invocation_tokens: null,
    alpha_pattern: {},
    arrow_config: null,
    auto_mapping: null,
    base_model_name_or_path: 'org/base',
    bias: 'none',
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_bias: false,
    lora_dropout: 0.05,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_version: '0.21.2',
    qalora_group_size: 16,
    rank_pattern: {},
    revision: 'main',
    target_parameters: null,
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: false,
  };
  expect(parse(full)).toMatchObject({ rank: 16, alpha: 32, baseModel: 'org/base' });
  for (const neutral of [null, false, 0, '', [], {}]) expect(parse({ ...full, later_feature: neutral }).rank).toBe(16);
  for (const value of [3, true, 'x', [0], { a: null }]) {
    const reason = /not known to this version/;
    await expectError(() => parse({ ...full, later_feature: value }), 'unsupported', {
      file: FILE,
      field: 'later_feature',
      reason,
    });
  }
});

test.each([true, false, null, 'gaussian', 'eva', 'orthogonal', 'mica'])(
  'an adapter that began as %j is the whole change',
  (init) => {
    expect(parse({ init_lora_weights: init }).rank).toBe(16);
  },
);

test('decision temperatures are read; unknown question types and invalid temperatures are refused', async () => {
  const given = { predicate: 1.7, score: 0.5 };
  expect(parse({ decision_temperatures: given }).decisionTemperatures).toEqual(given);
  expect(parse({ decision_temperatures: {} }).decisionTemperatures).toBeUndefined();
  for (const [name, wrong] of Object.entries({ box: 1, choice: 0, score: 101, predicate: '1' }))
    await expectError(() => parse({ decision_temperatures: { [name]: wrong } }), 'bad_file', {
      field: `decision_temperatures.${name}`,
    });
});

test('invocation tokens of an activated adapter are read; null means none', () => {
  expect(parse({ alora_invocation_tokens: [5, 0, 5] }).invocationTokens).toEqual([5, 0, 5]);
  expect(parse({ alora_invocation_tokens: null }).invocationTokens).toBeUndefined();
});

test.each([
  ['use_dora', true],
  ['modules_to_save', ['lm_head']],
  ['bias', 'all'],
  ['fan_in_fan_out', true],
  ['trainable_token_indices', [1]],
  ['lora_bias', true],
  ['megatron_config', { a: 1 }],
  ['layer_replication', [[0, 2]]],
  ['target_parameters', ['experts']],
  ['peft_type', 'ADALORA'],
  ['init_lora_weights', 'pissa_niter_16'],
  ['init_lora_weights', 'olora'],
  ['init_lora_weights', 'loftq'],
  ['init_lora_weights', 'lora_ga'],
  ['init_lora_weights', 'corda'],
  ['init_lora_weights', 'some_later_one'],
  ['init_lora_weights', 3],
  ['target_modules', ['q_proj', 'lm_head']],
  ['target_modules', ['embed_tokens']],
  ['target_modules', '(q_proj'],
  ['target_modules', '(a+)+'],
  ['rank_pattern', { '*': 3 }],
])('%s = %j is refused by name', async (field, value) => {
  await expectError(() => parse({ [field]: value }), 'unsupported', { file: FILE, field });
});

test.each([
  ['r', 0],
  ['r', 257],
  ['r', 1.5],
  ['r', '8'],
  ['lora_alpha', 'x'],
  ['peft_type', null],
  ['use_rslora', 'yes'],
  ['target_modules', null],
  ['target_modules', []],
  ['target_modules', [3]],
  ['layers_to_transform', ['1']],
  ['layers_to_transform', -1],
  ['rank_pattern', [1]],
  ['layers_pattern', 'layers'],
  ...[[], {}, false, 0, 5, '5', ['5'], [5, null], [1.5], [-1], [1e300]].map((value): [string, unknown] => [
    'alora_invocation_tokens',
    value,
  ]),
])('%s = %j is refused as an error of the file', async (field, value) => {
  await expectError(() => parse({ [field]: value }), 'bad_file', { file: FILE, field });
});

test('errors within patterns, a pattern with layers, and numbers that JSON lacks are refused', async () => {
  const fails = (fields: object, field: string): Promise<void> =>
    expectError(() => parse(fields), 'bad_file', { file: FILE, field });
  await fails({ rank_pattern: { q_proj: 0 } }, 'rank_pattern.q_proj');
  await fails({ alpha_pattern: { q_proj: null } }, 'alpha_pattern.q_proj');
  await fails({ target_modules: '.*q_proj', layers_to_transform: [1] }, 'layers_to_transform');
  for (const number of ['NaN', '-Infinity', '1e999']) {
    const text = JSON.stringify({ ...BASE, lora_alpha: 0 }).replace('"lora_alpha":0', `"lora_alpha": ${number}`);
    await expectError(() => parseAdapterConfig(text, FILE), 'bad_file', { file: FILE, field: 'lora_alpha' });
  }
  await expectError(() => parseAdapterConfig('[]', FILE), 'bad_file', { file: FILE });
  await expectError(() => parseAdapterConfig('{', FILE), 'bad_file', { file: FILE, reason: /JSON/ });
});
