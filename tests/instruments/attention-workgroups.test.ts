import { expect, test } from 'vitest';
import type { DeviceClass } from '../../src/gpu/device.ts';
import { attentionKernels } from '../../src/kernels/attention.ts';
import { FEATURE_SETS, openPaperDevice } from '../../tools/instruments/paper-gpu.ts';
import { type ShapeName, SHAPES } from '../../tools/instruments/shapes.ts';

/** Workgroups that attend to `length` tokens in decode. */
async function workgroupsOf(shape: ShapeName, deviceClass: DeviceClass, length: number): Promise<number> {
  const device = await openPaperDevice(FEATURE_SETS.all, () => undefined, { deviceClass });
  const { decode } = attentionKernels(device, SHAPES[shape], { allF16: true, stores: false });
  const { splits } = decode.split({ tokens: 1, length });
  device.close();
  return decode.groups({ tokens: 1, splits }).reduce<number>((product, count = 1) => product * count, 1);
}

// Llama 3.2 1B, SmolLM2-135M, Gemma 3 1B.
test.each<[ShapeName, step: number]>([
  ['1B', 128],
  ['135M', 128],
  ['window', 64],
])('attention of one token of %s has many workgroups beyond one step of %i tokens', async (shape, step) => {
  const heads = SHAPES[shape].numKvHeads;
  for (const length of [1, step]) expect(await workgroupsOf(shape, 'gpu', length)).toBe(heads);
  for (const length of [256, 512, 1024, 4096])
    expect(await workgroupsOf(shape, 'gpu', length), `${length} tokens`).toBeGreaterThanOrEqual(32);
});

test('attention of one token on software adapters has an invocation for each page and group of heads', async () => {
  // Eight pages, eight key/value heads, one group of four heads each; eight invocations a workgroup.
  expect(await workgroupsOf('1B', 'cpu', 256)).toBe(8);
});
