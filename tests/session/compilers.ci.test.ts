import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { napping } from '../../tools/instruments/node-gpu.ts';
import { openDevice, OPTIONAL_FEATURES } from '../../src/gpu/device.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer } from '../support/answer.ts';
import { derivedGpu } from '../support/gpu/derived-gpu.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';

/** Small, and uses every optional feature. */
const bytes = tinyModel({
  architecture: 'llama',
  type: 'F32',
  types: { ffn_down: 'Q6_K' },
  seed: 61,
  numLayers: 1,
  contextLength: 64,
});

/** The software adapter with a compiler that rejects modules that match `unknown`. */
const gpuWithout = (unknown: RegExp): GPU =>
  derivedGpu((gpuDevice) => ({
    createShaderModule: ({ code, ...rest }) =>
      gpuDevice.createShaderModule({ ...rest, code: code.replace(unknown, (text) => `unknown_${text}`) }),
  }));

test('an offered feature that does not compile is not used', async () => {
  const say = async (options: Parameters<typeof engineUnderTest>[1]) => {
    const engine = await engineUnderTest(bytes, options);
    const { tokens } = await answer(engine.complete('Winds', { sampling: GREEDY, stop: [], maxTokens: 8 }));
    return { tokens, features: [...(await engine.session()).device.features] };
  };
  const without = await say({ without: OPTIONAL_FEATURES });
  expect(without).toMatchObject({ features: [], tokens: { length: 8 } });
  expect(await say({ gpu: gpuWithout(/vec4<f16>|subgroup(Elect|Broadcast)|unpack4xI8|var<immediate>/) })).toEqual(
    without,
  );
  // Each feature is tried by itself.
  const device = await openDevice(gpuWithout(/subgroupBroadcast/), { wait: napping });
  expect([...device.features]).toEqual(['shader-f16', 'packed_4x8_integer_dot_product', 'immediate_address_space']);
  device.close();
});

test('a kernel that does not compile throws an error with its name and the compiler message', async () => {
  const loading = (): Promise<unknown> => engineUnderTest(bytes, { gpu: gpuWithout(/\battend_page\b/) });
  await expectError(loading, 'kernel_refused', { field: 'attention', reason: /attend_page/ });
});
