import { expect, test } from 'vitest';
import { policyOf } from '../../src/cache/policy.ts';
import { UNADAPTED } from '../../src/engine/adapters.ts';
import { timeSteps } from '../../cli/measure/timings.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { randomTokens } from '../support/random-tokens.ts';

/** Sizes of a small model, which computes a long prompt fast. */
const SIZES = { hiddenSize: 64, intermediateSize: 128, numHeads: 2, numKvHeads: 1, numLayers: 1 };
const DECODED = 8;

/** Bytes of the largest buffer, and the peak of everything but weights and pages, while the context fills. */
async function scratch(context: number) {
  const gpu = countGpu();
  const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 61, contextLength: context, ...SIZES });
  const engine = await engineUnderTest(bytes, { contextLength: context });
  const session = await engine.session();
  const text = randomTokens(context, 270, 7);
  session.device.buffers.watchPeak();
  // `timeSteps` decodes three more steps untimed.
  await timeSteps(session, context - DECODED, DECODED - 3, [UNADAPTED], { policy: policyOf({ kv: 'policy' }), text });
  const { total, kv, weights } = session.device.buffers.peak;
  engine.dispose();
  return { largest: gpu.largestBuffer, bytes: total - kv - weights };
}

test('nothing grows with the square of the context: no buffer has a byte for each pair of tokens', async () => {
  const [short, long] = [await scratch(1024), await scratch(8192)];
  expect(short.largest).toBeLessThan(1024 ** 2);
  expect(long.largest).toBeLessThan(8192 ** 2);
  expect(long.largest).toBeLessThanOrEqual(8 * short.largest);
  expect(long.bytes).toBeLessThanOrEqual(8 * short.bytes);
});
