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
  'gpu class, none of them': { deviceClass: 'gpu', without: OPTIONAL_FEATURES },
};

/** Tests of kernels have every type, and every feature without the others. */
const bytes = tinyModel({ architecture: 'qwen3', type: 'Q4_1', seed: 21, numLayers: 1 });
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

const shared = { architecture: 'llama', type: 'Q4_1', seed: 23, numLayers: 1 } as const;

test.each([
  ['heads whose keys and values attention stores itself', { numHeads: 4, numKvHeads: 2 }],
  ['more heads that share them than a workgroup has', { numHeads: 6, numKvHeads: 1, headDim: 32 }],
])(
  'gpu class, %s: the logits equal those of the default, with pages in the forms of most and fewest bits',
  async (_, heads) => {
    const model = tinyModel({ ...shared, ...heads });
    const text = randomTokens(150, 270, 7);
    const [gpu, own] = [await engineUnderTest(model, { deviceClass: 'gpu' }), await engineUnderTest(model)];
    for (const kv of ['dense', 'q8', 'k3v2'] as const) {
      const options = { pieces: [64, 60, 1, 1, 2, 1, 4], policy: policyOf({ kv }) };
      // With fewer codes a rounding error that moves a value to the next code is larger.
      const most = kv === 'dense' || kv === 'q8' ? NMSE.sameModel : 5 * NMSE.sameModel;
      expect(nmse(await logitsOf(gpu, text, options), await logitsOf(own, text, options)), kv).toBeLessThan(most);
    }
  },
);
