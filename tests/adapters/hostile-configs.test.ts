import { expect, test } from 'vitest';
import { parseAdapterConfig } from '../../src/adapters/adapter-config.ts';
import { readAdapterHeader } from '../../src/adapters/adapter-header.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { writeSafetensors } from '../support/models/safetensors-writer.ts';

const FILE = 'adapter_config.json';
const config = (fields: object): string =>
  JSON.stringify({ peft_type: 'LORA', r: 8, lora_alpha: 16, target_modules: ['q_proj'], ...fields });

test.each<[string, string, 'bad_file' | 'unsupported', string | undefined, RegExp]>([
  [
    'a pattern of 20,000 parentheses',
    config({ target_modules: '('.repeat(20_000) + ')'.repeat(20_000) }),
    'unsupported',
    'target_modules',
    /characters/,
  ],
  [
    'a pattern of 900 optional characters',
    config({ target_modules: `${'.?'.repeat(900)}X` }),
    'unsupported',
    'target_modules',
    /repetitions and choices/,
  ],
  [
    'a pattern of 300 choices that overlap',
    config({ exclude_modules: `${'(?:.|..|)'.repeat(300)}X` }),
    'unsupported',
    'exclude_modules',
    /repetitions and choices/,
  ],
  [
    'five repetitions beside one another',
    config({ rank_pattern: { '.*.*.*.*X': 4 } }),
    'unsupported',
    'rank_pattern',
    /repetitions and choices/,
  ],
  [
    '10,000 patterns',
    config({ rank_pattern: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`q${i}`, 4])) }),
    'bad_file',
    'rank_pattern',
    /10000 patterns/,
  ],
  [
    'a rank of 100,000 nested arrays',
    config({ r: '@' }).replace('"@"', '['.repeat(100_000) + ']'.repeat(100_000)),
    'bad_file',
    undefined,
    /nested more than 64 deep/,
  ],
])('%s is refused at once', async (_, text, code, field, reason) => {
  const start = process.cpuUsage();
  await expectError(() => parseAdapterConfig(text, FILE), code, { file: FILE, ...(field && { field }), reason });
  expect(process.cpuUsage(start).user / 1e6).toBeLessThan(1);
});

test('a file of 60,000 factors without another is refused at once', async () => {
  const bytes = new Uint8Array(4);
  const paths = [
    'self_attn.q_proj',
    'self_attn.k_proj',
    'self_attn.v_proj',
    'mlp.gate_proj',
    'mlp.up_proj',
    'mlp.down_proj',
  ];
  const names = Array.from({ length: 10_000 }, (_, layer) =>
    paths.map((path) => `base_model.model.model.layers.${layer}.${path}.lora_A.weight`),
  ).flat();
  const weights = new BytesSource(
    'adapter_model.safetensors',
    writeSafetensors(names.map((name) => ({ name, shape: [1, 1], type: 'F32', bytes }))),
  );
  const source = { config: new BytesSource(FILE, new TextEncoder().encode(config({}))), weights };
  const start = process.cpuUsage();
  await expectError(() => readAdapterHeader(source), 'bad_file', {
    file: weights.name,
    reason: /the tensor is missing/,
  });
  expect(process.cpuUsage(start).user / 1e6).toBeLessThan(1);
});

test('usual patterns of trainers are accepted', () => {
  // Unsloth's, for models of text and vision.
  const targets =
    '(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?(?:q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj).*?)|' +
    '(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)\\.(?:(?:q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)))';
  const { isTargeted, rankOf } = parseAdapterConfig(
    config({ target_modules: targets, rank_pattern: { 'model\\.layers\\.(0|1|10)\\..*(q|k)_proj': 4 } }),
    FILE,
  );
  expect(isTargeted('model.layers.10.self_attn.q_proj')).toBe(true);
  expect(isTargeted('model.embed_tokens')).toBe(false);
  expect(['model.layers.10.self_attn.k_proj', 'model.layers.2.self_attn.k_proj'].map(rankOf)).toEqual([4, 8]);
});
