import { expect, it } from 'vitest';
import type { Device } from '../../src/gpu/device.ts';
import { VARIANTS } from '../../src/gpu/device-variant.ts';
import { OPTIONAL_FEATURES, type OptionalFeature } from '../../src/gpu/features.ts';
import { allKernels } from '../naga/all-kernels.ts';

/** Texts of all shaders by path. */
const SHADERS = import.meta.glob<string>('../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true });

const listed = (text: string, word: 'needs' | 'fills'): string[] =>
  new RegExp(`^// ${word}: (.*)$`, 'm').exec(text)?.[1]?.split(', ') ?? [];

/** What a text fills: `slots/SLOT/choice.wgsl` its slot, `parts/PART.wgsl` itself, in whichever folder of these, a kernel's own text what it says. */
function fillsOf(path: string, text: string): string[] {
  const [, slot] =
    /shaders\/slots\/([^/]+)\//.exec(path) ?? /shaders\/parts\/(?:[^/]+\/)?([^/]+)\.wgsl$/.exec(path) ?? [];
  return slot === undefined ? listed(text, 'fills') : [slot];
}

const fills = new Map(Object.entries(SHADERS).map(([path, text]) => [text, fillsOf(path, text)]));

const limits = {
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupStorageSize: 16_384,
};

/** Devices that choose differently. */
const devices = Object.values(VARIANTS).flatMap((variant) =>
  [4, 8, undefined].flatMap((subgroupSize) =>
    [new Set<OptionalFeature>(), new Set(OPTIONAL_FEATURES)].map(
      (features) => ({ variant, subgroupSize, features, limits }) as unknown as Device,
    ),
  ),
);

/** Slots that are open, filled twice or filled for nobody. */
function faultsOf(sources: readonly string[]): string[] {
  const filled = sources.flatMap((text) => fills.get(text) ?? [`a text of no file: ${text.slice(0, 80)}`]);
  const needed = new Set(sources.flatMap((text) => listed(text, 'needs')));
  return [
    ...[...needed].filter((slot) => !filled.includes(slot)).map((slot) => `${slot} is open`),
    ...filled.filter((slot, i) => filled.indexOf(slot) !== i).map((slot) => `${slot} is filled twice`),
    ...filled.filter((slot) => !needed.has(slot)).map((slot) => `nobody needs ${slot}`),
  ];
}

it('fills every slot of every kernel once, and none that nobody needs', () => {
  const faults = devices.flatMap((device) =>
    allKernels(device).flatMap(({ name, sources }) => faultsOf(sources).map((fault) => `${name}: ${fault}`)),
  );
  expect([...new Set(faults)]).toEqual([]);
});

it('would see a slot that is open, filled twice, or filled for nobody', () => {
  const [kernel] = devices.flatMap(allKernels).filter(({ name }) => name === 'rms-norm');
  const [reduce = '', text = ''] = kernel?.sources ?? [];
  expect(faultsOf([text])).toEqual(['reduce-sum is open']);
  expect(faultsOf([reduce, reduce, text])).toEqual(['reduce-sum is filled twice']);
  expect(faultsOf([reduce])).toEqual(['nobody needs reduce-sum']);
});
