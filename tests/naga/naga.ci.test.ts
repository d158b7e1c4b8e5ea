import { expect, test } from 'vitest';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import {
  type Device,
  openDevice,
  OPTIONAL_FEATURES,
  type OptionalFeature,
  trialModule,
  VARIANTS,
} from '../../src/gpu/device.ts';
import { type Kernel, renderKernel, shaderParts } from '../../src/gpu/kernel.ts';
import { allKernels } from './all-kernels.ts';
import { compileWithNaga } from './naga.ts';

/** Texts of kernels, and of parts and variants in shader libraries, by name. */
const SHADERS = Object.entries(
  import.meta.glob<string>('../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true }),
).flatMap(([path, text]) =>
  path.includes('/parts/')
    ? Array.from(text.matchAll(/^#(?:part|variant) (\S+)$/gm), ([, name]) => [name!, shaderParts(text)(name!)] as const)
    : [[path.split('/').at(-1)!, text] as const],
);

/** Time limit: thousands of modules take some minutes on an idle machine. */
const MOST_MS = 1_200_000;

/** Other variants that the autotuner may choose differ only in constants. */
const FORMS = [...Object.values(VARIANTS), { ...VARIANTS.gpu, roundsInputs: true }];

/** Kernels of devices with these features, and of devices without features. */
function kernelsWith(device: Device, features: ReadonlySet<OptionalFeature>): Kernel[] {
  const sets = [features, new Set<OptionalFeature>()];
  const devices = FORMS.flatMap((variant) =>
    [4, 8, undefined].flatMap((subgroupSize) =>
      sets.map((features) => ({ ...device, variant, subgroupSize, features })),
    ),
  );
  return devices.flatMap(allKernels);
}

/** Kernels by their rendered text. Kernels of equal parts are rendered once, which takes a seventh of the time. */
function byText(kernels: readonly Kernel[]): Map<string, Kernel> {
  const parts = new Map(
    kernels.map((kernel) => {
      const { sources, constants, bindings, params, enables } = kernel;
      return [JSON.stringify([sources.map(numberOf), constants, bindings, params, enables]), kernel];
    }),
  );
  return new Map(Array.from(parts.values(), (kernel) => [renderKernel(kernel), kernel]));
}

/**
 * Kernels that have every source, and every two sources that any kernel has together; short ones where possible. Beyond
 * the module, a pipeline tests naga's writer of SPIR-V and the driver, which compile one expression at a time, or a call
 * from one source to another.
 */
function withEveryPair(kernels: ReadonlyMap<string, Kernel>): Set<Kernel> {
  const seen = new Set<string>();
  const shortestFirst = [...kernels].sort(([a], [b]) => a.length - b.length);
  const chosen = shortestFirst.filter(([, { sources }]) => {
    const numbers = sources.map(numberOf);
    const pairs = numbers.flatMap((first, i) => numbers.slice(i).map((second) => `${first} ${second}`));
    const hasNew = pairs.some((pair) => !seen.has(pair));
    for (const pair of pairs) seen.add(pair);
    return hasNew;
  });
  return new Set(chosen.map(([, kernel]) => kernel));
}

const sourceNumbers = new Map<string, number>();

function numberOf(source: string): number {
  const number = sourceNumbers.get(source) ?? sourceNumbers.size;
  sourceNumbers.set(source, number);
  return number;
}

test(
  'naga compiles every module of every kernel with the features that it offers and can compile',
  async () => {
    const device = await openDevice(nodeGpu(), { wait: napping });
    const trials = compileWithNaga(
      OPTIONAL_FEATURES.map((feature) => ({ code: trialModule(feature), pipeline: true })),
      OPTIONAL_FEATURES,
    );
    const usable = new Set(OPTIONAL_FEATURES.filter((_, i) => trials[i] === null));
    // naga has no `enable subgroups`: see gfx-rs/wgpu#5555.
    expect([...usable], trials.join('\n')).toEqual(['shader-f16', 'packed_4x8_integer_dot_product']);

    const kernels = byText(kernelsWith(device, usable));
    device.close();
    const asPipelines = withEveryPair(kernels);
    const modules = [...kernels].map(([code, kernel]) => ({ code, pipeline: asPipelines.has(kernel) }));
    const broken = { code: `${modules[0]?.code}\nfn broken() -> u32 { return 1.5; }`, pipeline: false };
    const said = compileWithNaga([...modules, broken], [...usable]);
    expect(said.pop()).toContain('broken'); // naga reports a module that does not compile
    const refused = said.flatMap((message, i) =>
      message === null ? [] : [`${kernels.get(modules[i]?.code ?? '')?.name}: ${message}`],
    );
    expect(refused).toEqual([]);

    // Only texts that need subgroups are missing.
    const texts = [...sourceNumbers.keys()].join('\n');
    const missing = SHADERS.filter(([, text]) => !texts.includes(text)).map(([name]) => name);
    expect(missing.filter((name) => !/subgroup|broadcast/.test(name))).toEqual([]);
  },
  MOST_MS,
);
