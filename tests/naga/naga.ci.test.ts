import { expect, test } from 'vitest';
import { napping, nodeGpu } from '../../cli/node-gpu.ts';
import { type Device, openDevice } from '../../src/gpu/device.ts';
import { OPTIONAL_FEATURES, type OptionalFeature, trialModule } from '../../src/gpu/features.ts';
import { type Kernel, renderKernel } from '../../src/gpu/kernel.ts';
import { VARIANTS } from '../../src/gpu/device-variant.ts';
import { allKernels } from './all-kernels.ts';
import { compileWithNaga } from './naga.ts';

/** Texts of all shaders by path. */
const SHADERS = import.meta.glob<string>('../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true });

/** Thousands of modules: some minutes where nothing else runs. */
const MOST_MS = 1_200_000;

/** What the autotuner may choose beside these differs in constants. */
const FORMS = Object.values(VARIANTS);

/** Every kernel of devices with these features, and of devices without any. */
function kernelsWith(device: Device, features: ReadonlySet<OptionalFeature>): Kernel[] {
  const sets = [features, new Set<OptionalFeature>()];
  const devices = FORMS.flatMap((variant) =>
    [4, 8, undefined].flatMap((subgroupSize) =>
      sets.map((features) => ({ ...device, variant, subgroupSize, features })),
    ),
  );
  return devices.flatMap(allKernels);
}

test(
  'naga takes every module of every kernel, with the features that it offers and compiles',
  async () => {
    const device = await openDevice(nodeGpu(), { wait: napping });
    const trials = compileWithNaga(
      OPTIONAL_FEATURES.map((feature) => ({ code: trialModule(feature), pipeline: true })),
      OPTIONAL_FEATURES,
    );
    const usable = new Set(OPTIONAL_FEATURES.filter((_, i) => trials[i] === null));
    // naga has no `enable subgroups`: see gfx-rs/wgpu#5555.
    expect([...usable], trials.join('\n')).toEqual(['shader-f16', 'packed_4x8_integer_dot_product']);

    const kernels = new Map(kernelsWith(device, usable).map((kernel) => [renderKernel(kernel), kernel]));
    device.close();
    // A pipeline of each that is put together of other texts: the others differ in constants.
    const seen = new Set<string>();
    const modules = [...kernels].map(([code, { sources }]) => {
      const pipeline = !seen.has(sources.join());
      seen.add(sources.join());
      return { code, pipeline };
    });
    const broken = { code: `${modules[0]?.code}\nfn broken() -> u32 { return 1.5; }`, pipeline: false };
    const said = compileWithNaga([...modules, broken], [...usable]);
    expect(said.pop()).toContain('broken'); // it would tell
    const refused = said.flatMap((message, i) =>
      message === null ? [] : [`${kernels.get(modules[i]?.code ?? '')?.name}: ${message}`],
    );
    expect(refused).toEqual([]);

    // Nothing is left out but what naga cannot have.
    const texts = [...seen].join('\n');
    const missing = Object.entries(SHADERS)
      .filter(([, text]) => !texts.includes(text))
      .map(([path]) => path.split('/').at(-1) ?? '');
    expect(missing.filter((name) => !/subgroup|broadcast/.test(name))).toEqual([]);
  },
  MOST_MS,
);
