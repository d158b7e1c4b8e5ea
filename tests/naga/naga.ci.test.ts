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

/** Few and short kernels that together have every fact of all kernels. */
function cover(kernels: ReadonlyMap<string, Kernel>, factsOf: (kernel: Kernel) => string[]): Map<string, Kernel> {
  const seen = new Set<string>();
  const shortestFirst = [...kernels].sort(([a], [b]) => a.length - b.length);
  const chosen = shortestFirst.filter(([, kernel]) => {
    const facts = factsOf(kernel);
    const hasNew = facts.some((fact) => !seen.has(fact));
    for (const fact of facts) seen.add(fact);
    return hasNew;
  });
  return new Map(chosen);
}

/** Every source, and every two sources of a kernel, which may declare the same name or call each other. */
function pairsOf({ sources }: Kernel): string[] {
  const numbers = sources.map(numberOf);
  return numbers.flatMap((first, i) => numbers.slice(i).map((second) => `${first} ${second}`));
}

/** Every source with each type of the bindings and params that it uses. */
function typesOf({ sources, bindings, params, enables }: Kernel): string[] {
  const types = [...bindings.map((binding) => ({ ...binding })), { name: 'params', ...params }];
  return sources.flatMap((source) => [
    `${numberOf(source)}: ${enables?.join()}`,
    ...types
      .filter(({ name }) => wordsOf(source).has(name))
      .map((type) => `${numberOf(source)}: ${JSON.stringify(type)}`),
  ]);
}

/** Every source with each value of the constants that it uses: naga computes what depends on constants only. */
const valuesOf = ({ sources, constants }: Kernel): string[] =>
  sources.flatMap((source) =>
    Object.entries(constants)
      .filter(([name]) => wordsOf(source).has(name))
      .map(([name, value]) => `${numberOf(source)}: ${name} ${JSON.stringify(value)}`),
  );

/** Every two sources of which one uses a name that the other declares. */
const usesOf = ({ sources }: Kernel): string[] =>
  sources.flatMap((user) =>
    sources
      .filter((owner) => owner === user || declaredIn(owner).some((name) => wordsOf(user).has(name)))
      .map((owner) => `${numberOf(user)} ${numberOf(owner)}`),
  );

const wordsOf = remembered((source) => new Set(source.match(/\w+/g)));
const declaredIn = remembered((source) =>
  Array.from(source.matchAll(/^(?:fn|struct|alias|const|var<\w+>) (\w+)/gm), ([, name]) => name!),
);

/** Computes the result for each text once. */
function remembered<T>(compute: (text: string) => T): (text: string) => T {
  const results = new Map<string, T>();
  return (text) => {
    const result = results.get(text) ?? compute(text);
    results.set(text, result);
    return result;
  };
}

const sourceNumbers = new Map<string, number>();

function numberOf(source: string): number {
  const number = sourceNumbers.get(source) ?? sourceNumbers.size;
  sourceNumbers.set(source, number);
  return number;
}

test(
  'naga compiles every source of every kernel, with every other source, type and constant that it meets',
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
    // Functions, bindings and params are typed, so that naga checks a source by itself and at its borders.
    const asModules = cover(kernels, (kernel) => [pairsOf, typesOf, valuesOf].flatMap((of) => of(kernel)));
    // Beyond the module, a pipeline tests naga's writer of SPIR-V and the driver, which compile typed expressions.
    const asPipelines = cover(kernels, (kernel) => [usesOf, typesOf].flatMap((of) => of(kernel)));
    const modules = Array.from(new Map([...asModules, ...asPipelines]).keys(), (code) => ({
      code,
      pipeline: asPipelines.has(code),
    }));
    expect(modules.length).toBeGreaterThan(sourceNumbers.size);
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
