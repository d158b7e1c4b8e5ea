import groupSource from '../../shaders/experts/group-experts.wgsl?raw';
import routeSource from '../../shaders/experts/route-experts.wgsl?raw';
import sumSource from '../../shaders/experts/sum-experts.wgsl?raw';
import type { Experts } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { type Kernel, reads, writes } from '../gpu/kernel.ts';
import { part } from './shader-library.ts';

/** Words of a route of a token to one of its experts: the expert, and the bits of its share. */
export const ROUTE_WORDS = 2;

/**
 * Scores `x [T, count]` → `routes [T, used]`: each token's experts and their shares (transformers, modeling_qwen3_moe.py,
 * Qwen3MoeTopKRouter). Sigmoid scores are compared after `expert_bias [count]` is added (modeling_lfm2_moe.py).
 */
export function routeExpertsKernel(
  device: Device,
  { count, used, shares, normalizes }: Pick<Experts, 'count' | 'used' | 'shares' | 'normalizes'>,
): Kernel<{ tokens: number }> {
  return {
    name: 'route-experts',
    sources: [part(`expert-share/${shares}`), routeSource],
    constants: { WORKGROUP: device.variant.workgroup, EXPERTS: count, EXPERTS_USED: used, NORMALIZED: normalizes },
    bindings: [
      reads('x', 'f32'),
      ...(shares === 'sigmoid' ? [reads('expert_bias', 'f32')] : []),
      writes('routes', 'vec2u'),
    ],
    params: {},
    groups: ({ tokens }) => [tokens],
  };
}

/** Tokens of one expert that are multiplied at once. */
export const GROUP_TOKENS = 8;
/** Words of a place: an expert, and the index of a route. */
export const PLACE_WORDS = 2;

/** Most places that `ways` routes need, whichever experts they use: whole groups of GROUP_TOKENS. */
export const groupedPlaces = (ways: number, count: number): number =>
  Math.min(ways, Math.floor((ways + count * (GROUP_TOKENS - 1)) / GROUP_TOKENS)) * GROUP_TOKENS;

/** `routes [ways]` → `places [groupedPlaces]`: the routes sorted by expert, each expert's in whole groups. */
export function groupExpertsKernel(device: Device, count: number): Kernel<object> {
  return {
    name: 'group-experts',
    sources: [groupSource],
    constants: { WORKGROUP: device.variant.scanWorkgroup, EXPERTS: count, TILE: GROUP_TOKENS },
    bindings: [reads('routes', 'vec2u'), writes('places', 'vec2u')],
    params: { ways: 'u32', places: 'u32' },
    groups: () => [1],
  };
}

/**
 * Outputs of each token's experts `x [T, used, width]` → `y [T, width]` += `scale` times their sum, weighted by the shares in
 * `routes [T, used]`. With `readsResidual` the sum is added to `before [T, width]` instead, and y overwritten.
 */
export function sumExpertsKernel(
  device: Device,
  width: number,
  used: number,
  readsResidual = false,
): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  return {
    name: 'sum-experts',
    sources: [part(readsResidual ? 'residual/before' : 'residual/own'), sumSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, EXPERTS_USED: used },
    bindings: [
      reads('x', 'vec4f'),
      reads('routes', 'vec2u'),
      ...(readsResidual ? [reads('before', 'vec4f')] : []),
      writes('y', 'vec4f'),
    ],
    params: { scale: 'f32' },
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
