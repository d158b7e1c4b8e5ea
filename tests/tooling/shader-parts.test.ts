import { describe, expect, it } from 'vitest';
import { type Device, VARIANTS, OPTIONAL_FEATURES, type OptionalFeature } from '../../src/gpu/device.ts';
import { shaderParts } from '../../src/gpu/kernel.ts';
import { allKernels } from '../naga/all-kernels.ts';

const FOLDER = '../../shaders/';
/** Texts of all shaders by path below `shaders`. */
const SHADERS = new Map(
  Object.entries(
    import.meta.glob<string>('../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true }),
  ).map(([path, text]) => [path.slice(FOLDER.length), text]),
);
/** Texts of src/kernels by path. */
const KERNELS = import.meta.glob<string>('../../src/**/*.ts', { query: '?raw', import: 'default', eager: true });

const listed = (text: string, word: 'needs' | 'fills'): string[] =>
  new RegExp(`^// ${word}: (.*)$`, 'm').exec(text)?.[1]?.split(', ') ?? [];

const isLibrary = (path: string): boolean => path.startsWith('parts/');
const libraries = [...SHADERS].filter(([path]) => isLibrary(path)).map(([, text]) => text);
const names = libraries.flatMap((text) => Array.from(text.matchAll(/^#(?:part|variant) (.*)$/gm), ([, name]) => name!));

/** Parts that each text defines: `#part NAME` defines NAME, `#variant KIND/CHOICE` defines KIND, a kernel what `fills` lists. */
const fills = new Map<string, readonly string[]>([
  ...[...SHADERS].filter(([path]) => !isLibrary(path)).map(([, text]) => [text, listed(text, 'fills')] as const),
  ...names.map((name) => [shaderParts(...libraries)(name), [name.split('/')[0]!]] as const),
]);

const limits = {
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupStorageSize: 16_384,
};

/** Devices that use different variants. */
const devices = [...Object.values(VARIANTS), { ...VARIANTS.gpu, roundsInputs: true }].flatMap((variant) =>
  [4, 8, undefined].flatMap((subgroupSize) =>
    [new Set<OptionalFeature>(), new Set(OPTIONAL_FEATURES)].map(
      (features) =>
        ({ variant, subgroupSize, subgroupSizes: { least: 8, most: 32 }, features, limits }) as unknown as Device,
    ),
  ),
);

const kernels = devices.flatMap(allKernels);

/** Parts that are missing, defined twice, or not needed. */
function faultsOf(sources: readonly string[]): string[] {
  const filled = sources.flatMap((text) => fills.get(text) ?? [`a text of no file: ${text.slice(0, 80)}`]);
  const needed = new Set(sources.flatMap((text) => listed(text, 'needs')));
  return [
    ...[...needed].filter((name) => !filled.includes(name)).map((name) => `${name} is missing`),
    ...filled.filter((name, i) => filled.indexOf(name) !== i).map((name) => `${name} is defined twice`),
    ...filled.filter((name) => !needed.has(name)).map((name) => `no text needs ${name}`),
  ];
}

it('every kernel has each part that its texts need exactly once, and no other part', () => {
  const faults = kernels.flatMap(({ name, sources }) => faultsOf(sources).map((fault) => `${name}: ${fault}`));
  expect([...new Set(faults)]).toEqual([]);
});

it('a part that is missing, defined twice or not needed is reported', () => {
  const [reduce = '', text = ''] = kernels.find(({ name }) => name === 'rms-norm')?.sources ?? [];
  expect(faultsOf([text])).toEqual(['reduce-sum is missing']);
  expect(faultsOf([reduce, reduce, text])).toEqual(['reduce-sum is defined twice']);
  expect(faultsOf([reduce])).toEqual(['no text needs reduce-sum']);
});

/** Shaders that each module imports, by path below `shaders`. */
const imports = Object.entries(KERNELS).flatMap(([path, text]) =>
  Array.from(text.matchAll(/from '(?:\.\.\/)+shaders\/(.*)\?raw'/g), ([, shader]) => ({
    module: path.replace('../../', ''),
    shader: shader!,
  })),
);

it('src/kernels/GROUP.ts, and no other module, imports the kernels in shaders/GROUP', () => {
  const paths = [...SHADERS.keys()].filter((path) => !isLibrary(path));
  const importers = (shader: string) => imports.filter((each) => each.shader === shader).map(({ module }) => module);
  expect(paths.length).toBeGreaterThan(40);
  expect(paths.map((path) => [path, importers(path)])).toEqual(
    paths.map((path) => [path, [`src/kernels/${path.split('/').slice(0, -1).join('/')}.ts`]]),
  );
});

it('a kernel is named as its file', () => {
  const files = new Map([...SHADERS].map(([path, text]) => [text, path.split('/').at(-1)?.replace('.wgsl', '')]));
  expect(kernels.filter(({ name, sources }) => files.get(sources.at(-1)!) !== name).map(({ name }) => name)).toEqual(
    [],
  );
});

describe('shaderParts', () => {
  const part = shaderParts(
    '// A preface.\n#part a\nfn a() {}\n\n#variant b/one\nfn b() {}\n',
    '#variant b/two\n#for n in N\n#end\n',
  );

  it('gives the lines of a section', () => {
    expect(['a', 'b/one', 'b/two'].map(part)).toEqual(['fn a() {}', 'fn b() {}', '#for n in N\n#end']);
  });

  it('throws for a section that is missing or occurs twice', () => {
    expect(() => part('b/three')).toThrow('no section "b/three" in the shader libraries; they have a, b/one, b/two');
    expect(() => shaderParts('#part a\n1\n', '#part a\n2\n')).toThrow(
      'two sections of the shader libraries are named "a"',
    );
  });
});
