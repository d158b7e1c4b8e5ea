import source from '../../../shaders/experts/group-experts.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** Tokens of one expert that are multiplied at once. */
export const GROUP_TOKENS = 8;
/** Words of a place: an expert, and the number of a way. */
export const PLACE_WORDS = 2;

/** Places of so many ways at most, whichever experts they go through: whole groups. */
export const groupedPlaces = (ways: number, count: number): number =>
  Math.min(ways, Math.floor((ways + count * (GROUP_TOKENS - 1)) / GROUP_TOKENS)) * GROUP_TOKENS;

/** `routes [ways]` → `places [places]`, which are `groupedPlaces`: the ways sorted by expert, each expert's in whole groups. */
export function groupExpertsKernel(device: Device, count: number): Kernel<object> {
  return {
    name: 'group-experts',
    sources: [source],
    constants: { WORKGROUP: device.variant.scanWorkgroup, EXPERTS: count, TILE: GROUP_TOKENS },
    bindings: [
      { name: 'routes', type: 'array<vec2u>', access: 'read' },
      { name: 'places', type: 'array<vec2u>', access: 'read_write' },
    ],
    params: { ways: 'u32', places: 'u32' },
    groups: () => [1],
  };
}
