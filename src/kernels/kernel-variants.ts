import type { Device } from '../gpu/device.ts';
import type { Constant, Kernel } from '../gpu/kernel.ts';
import type { Heads } from './heads.ts';
import { part } from './shader-library.ts';

/** Text and constants of `window`: a token sees the latest `tokens` tokens, or all. */
export const windowOf = (tokens?: number): Pick<Kernel, 'constants'> & { source: string } =>
  tokens === undefined
    ? { source: part('window/none'), constants: {} }
    : { source: part('window/latest'), constants: { WINDOW: tokens } };

/** Text and constants of `score-scale`: the factor of scores before their softmax. */
export function scoreScaling(heads: Heads): Pick<Kernel, 'constants'> & { source: string } {
  const { headDim, attentionScale = 1 / Math.sqrt(headDim), rotaryDim = headDim, rotaryScale = 1, temperature } = heads;
  const SCALE = { f32: attentionScale * rotaryScale ** 2 };
  const isPartial = rotaryDim < headDim && rotaryScale !== 1;
  if (!isPartial && !temperature) return { source: part('score-scale/one'), constants: { SCALE } };
  const { beta, tokens } = temperature ?? { beta: 0, tokens: 1 };
  const passed = { PASSED_SCALE: { f32: attentionScale }, ROTATED4: rotaryDim / 8 };
  return {
    source: part('score-scale/by-place'),
    constants: { SCALE, ...passed, TEMPERATURE: { f32: beta }, TEMPERATURE_TOKENS: tokens },
  };
}

/** Text and constants of `reduce-sum` on this device. */
export function reduction(
  device: Device,
): Pick<Kernel, 'constants'> & { source: string; workgroup: number; rowsPerGroup: number } {
  const { rowWorkgroup, lanes } = device.variant;
  return {
    source: part(lanes === 1 ? 'reduce-sum/single' : 'reduce-sum/workgroup'),
    constants: { WORKGROUP: rowWorkgroup, LANES: lanes, KEPT: 0 },
    workgroup: rowWorkgroup,
    rowsPerGroup: rowWorkgroup / lanes,
  };
}

/** Text and directives of `half4` on this device. */
export const halfPrecision = (device: Device): Pick<Kernel, 'enables'> & { source: string } =>
  device.features.has('shader-f16')
    ? { source: part('half4/native'), enables: ['f16'] }
    : { source: part('half4/packed') };

/** Text of `unpack-bytes` on this device. */
export const byteUnpacking = (device: Device): string =>
  part(device.features.has('packed_4x8_integer_dot_product') ? 'unpack-bytes/native' : 'unpack-bytes/shifted');

/**
 * Texts and directives of `load-block`, `load-squares` and `low-columns`. Invocations that each compute whole rows need the
 * same inputs, so a subgroup can share the loads. Invocations that share a row need different inputs.
 */
export function inputLoading(
  device: Device,
): Pick<Kernel, 'enables'> & { input: string; squares: string; low: string } {
  const { features, subgroupSize, variant } = device;
  const broadcasts = variant.lanes === 1 && features.has('subgroups') && (subgroupSize === 4 || subgroupSize === 8);
  const choice = broadcasts ? `broadcast${subgroupSize}` : 'direct';
  return {
    input: part(`load-block/${choice}`),
    squares: part(`load-squares/${choice}`),
    low: part(`low-columns/${choice}`),
    ...(broadcasts && { enables: ['subgroups'] }),
  };
}

/** Pairs of components of h that one invocation computes, so that it loads its inputs once for all of them. */
const PAIRS = 4;

/** Texts and constants of `lora-low` on this device, and the components of h that a workgroup computes. */
export function loraLow(device: Device): {
  sources: readonly string[];
  constants: Record<string, Constant>;
  components: number;
} {
  if (device.variant.lanes > 1) return lowWith([part('lora-run/vectors')], {}, 4);
  const pairs = 2 * reduction(device).rowsPerGroup;
  // Several pairs need branches, which lavapipe (subgroups of eight invocations) skips for invocations without work.
  if (device.subgroupSize === 8) return lowWith([part('lora-pair'), part('lora-run/pairs')], { PAIRS }, PAIRS * pairs);
  return lowWith([part('lora-pair'), part('lora-run/one-pair')], {}, pairs);
}

const lowWith = (sources: readonly string[], constants: Record<string, Constant>, components: number) => ({
  sources: [...sources, part('lora-low')],
  constants,
  components,
});
