import { beforeAll, expect, test } from 'vitest';
import { policyOf } from '../../src/cache/policy.ts';
import { OPTIONAL_FEATURES } from '../../src/gpu/device.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { type EngineTestOptions, engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { NMSE } from '../support/tolerances.ts';

const VARIANTS: Record<string, EngineTestOptions> = {
  'cpu class, no subgroups': { without: ['subgroups'] },
  'cpu class, no shader-f16': { without: ['shader-f16'] },
  'gpu class': { deviceClass: 'gpu' },
  'gpu class, no subgroups': { deviceClass: 'gpu', without: ['subgroups'] },
  'gpu class, no shader-f16': { deviceClass: 'gpu', without: ['shader-f16'] },
  'gpu class, none of them': { deviceClass: 'gpu', without: OPTIONAL_FEATURES },
};

/** The matrices cover every library of the weight formats in one width, so that few pipelines are compiled. */
const bytes = tinyModel({
  architecture: 'qwen3',
  type: 'Q4_K',
  embeddingType: 'F16',
  types: { attn_v: 'Q6_K', ffn_down: 'Q5_0', 'blk.1.ffn_up': 'Q8_0', 'blk.1.attn_output': 'Q4_1' },
  intermediateSize: 256,
  seed: 21,
});
const tokens = randomTokens(72, 270, 6);
const pieces = [70, 1, 1];
let expected: Float32Array[];

beforeAll(async () => {
  const engine = await engineUnderTest(bytes);
  expected = await logitsOf(engine, tokens, { pieces });
  engine.dispose();
});

test.each(Object.entries(VARIANTS))('%s: the logits equal those of the default', async (_, options) => {
  const engine = await engineUnderTest(bytes, options);
  const { device } = await engine.session();
  expect(device.deviceClass).toBe(options.deviceClass ?? 'cpu');
  expect([...device.features]).toEqual(OPTIONAL_FEATURES.filter((feature) => !options.without?.includes(feature)));
  const difference = nmse(await logitsOf(engine, tokens, { pieces }), expected);
  expect(difference).toBeLessThan(NMSE.sameModel);
});

const shared = { architecture: 'llama', type: 'Q4_1', seed: 23, numLayers: 2 } as const;

test.each([
  ['heads whose keys and values attention stores itself', { numHeads: 4, numKvHeads: 2 }],
  ['more heads that share them than a workgroup has', { numHeads: 6, numKvHeads: 1, headDim: 32 }],
])('gpu class, %s: the logits equal those of the default, with pages in every form', async (_, heads) => {
  const model = tinyModel({ ...shared, ...heads });
  const text = randomTokens(150, 270, 7);
  const [gpu, own] = [await engineUnderTest(model, { deviceClass: 'gpu' }), await engineUnderTest(model)];
  for (const kv of ['dense', 'q8', 'q4', 'q3', 'k3v2'] as const) {
    const options = { pieces: [64, 60, 1, 1, 2, 1, 4], policy: policyOf({ kv }) };
    // With fewer codes a rounding error that moves a value to the next code is larger.
    const most = kv === 'dense' || kv === 'q8' ? NMSE.sameModel : 5 * NMSE.sameModel;
    expect(nmse(await logitsOf(gpu, text, options), await logitsOf(own, text, options)), kv).toBeLessThan(most);
  }
});
