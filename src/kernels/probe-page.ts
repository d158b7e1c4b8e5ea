import source from '../../shaders/probe-page.wgsl?raw';
import sharedSource from '../../shaders/attention/probe-page-shared.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel, KernelText } from '../gpu/kernel.ts';
import { PAGE_LIBRARIES } from './attention.ts';
import { headChunks, pageSharing, type Teams } from './attention/page-sharing.ts';
import { headConstants, type Heads } from './heads.ts';
import { formConstants } from './formats/page-forms.ts';
import { halfPrecision, scoreScaling, windowOf } from './slot-choices.ts';

/** Latest tokens of a stream whose queries and outputs are kept. */
export const PROBES = 8;

/** Of the kernel whose workgroups share pages: all of one share each. */
const SHARING: Teams = { workgroup: 128, teams: 1 };

/**
 * What is found of one task and head: the square of the change of the attention output, and of that output, summed over the
 * queries; the mean share of attention that the pages have; 0.
 */
export const FOUND_FLOATS = 4;
export const FOUND_BYTES = FOUND_FLOATS * 4;

/** One of these numbers, `part`, of the task or group `at`, summed over the heads. */
export function sumOverHeads(found: Float32Array, numHeads: number, at: number, part: number): number {
  let sum = 0;
  for (let head = 0; head < numHeads; head++) sum += found[(at * numHeads + head) * FOUND_FLOATS + part] ?? NaN;
  return sum;
}

/** Floats of one of them and one head: query, output, and maximum and sum of its softmax. */
export const probeFloats = (headDim: number): number => 2 * headDim + 4;

const PROBED: Pick<KernelText, 'bindings' | 'params'> = {
  bindings: [
    { name: 'tasks', type: 'array<vec4u>', access: 'read' },
    { name: 'qkv', type: 'array<vec4f>', access: 'read' },
    { name: 'rope', type: 'array<vec4f>', access: 'read' },
    { name: 'kv', type: 'array<vec2u>', access: 'read' },
    { name: 'errors', type: 'array<vec4f>', access: 'read_write' },
  ],
  params: { first: 'u32', count: 'u32', together: 'u32', queries: 'u32', slot: 'u32', position: 'u32' },
};

/**
 * `tasks [N, 2, 4]`, page-table entries of a page in two forms, seen by the latest `queries` queries, the last of them at
 * `position`, in `probes [streams, PROBES, numHeads, probeFloats]` → `errors [N / together, numHeads, FOUND_FLOATS]`: what `together`
 * tasks at once do to the attention output of those queries.
 */
export function probePageKernel(device: Device, heads: Heads): Kernel<{ found: number }> {
  if (device.variant.sharedPages) return sharedProbeKernel(device, heads);
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const { attentionWorkgroup } = device.variant;
  return {
    name: 'probe-page',
    sources: [half.source, scale.source, windowOf().source, ...PAGE_LIBRARIES, source],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      PROBES,
      GROUP: 1,
      HALF_ONLY: false,
      WORKGROUP: attentionWorkgroup,
      ...scale.constants,
    },
    ...PROBED,
    groups: ({ found }) => [Math.ceil((found * heads.numHeads) / attentionWorkgroup)],
  };
}

function sharedProbeKernel(device: Device, heads: Heads): Kernel<{ found: number }> {
  const { sources, enables, constants } = pageSharing(device, heads, SHARING);
  return {
    name: 'probe-page-shared',
    sources: [...sources, sharedSource],
    enables,
    constants: { ...constants, PROBES, QUERY_STRIDE: probeFloats(heads.headDim) / 4, HALF_ONLY: false },
    ...PROBED,
    groups: ({ found }) => [heads.numKvHeads * headChunks(heads), found],
  };
}
