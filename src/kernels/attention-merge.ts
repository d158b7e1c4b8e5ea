import source from '../../shaders/attention-merge.wgsl?raw';
import keepProbe from '../../shaders/parts/pages/keep-probe.wgsl?raw';
import rotatedValue from '../../shaders/parts/pages/rotated-value.wgsl?raw';
import sharedSource from '../../shaders/attention/attention-merge-shared.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel, KernelText } from '../gpu/kernel.ts';
import { FINISHED, MAX_SPLITS } from './attention.ts';
import { decodeWorkgroup } from './attention/page-sharing.ts';
import { headConstants, type Heads } from './heads.ts';
import { PROBES } from './probe-page.ts';

type Merge = Kernel<{ tokens: number }>;

const MERGED: Pick<KernelText, 'bindings' | 'params'> = {
  bindings: [
    { name: 'partial_outputs', type: 'array<vec4f>', access: 'read' },
    { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
    { name: 'qkv', type: 'array<vec4f>', access: 'read' },
    ...FINISHED,
  ],
  params: { tokens: 'u32', splits: 'u32', slotPages: 'u32' },
};

/**
 * `partial_outputs [T, splits, numHeads, headDim + 4]` → `y [T, numHeads headDim]`; of the last tokens also their part of
 * `probes`, see probe-page.ts. `slotPages`: entries of a stream's region of the page table. Of a batch of each kind: few
 * tokens have many splits, which workgroups share out where they do so with pages.
 */
export function attentionMergeKernels(device: Device, heads: Heads): Record<'decode' | 'prefill', Merge> {
  const prefill = alone(device, heads);
  return { prefill, decode: device.variant.sharedPages ? shared(device, heads) : prefill };
}

function alone(device: Device, heads: Heads): Merge {
  const { workgroup } = device.variant;
  const quads = (heads.numHeads * heads.headDim) / 4;
  return {
    name: 'attention-merge',
    sources: [keepProbe, rotatedValue, source],
    constants: { ...headConstants(heads), PROBES, WORKGROUP: workgroup },
    ...MERGED,
    groups: ({ tokens }) => [Math.ceil((tokens * quads) / workgroup)],
  };
}

function shared(device: Device, heads: Heads): Merge {
  const workgroup = decodeWorkgroup(device, heads);
  const SUBSETS = Math.floor((workgroup * 4) / heads.headDim);
  return {
    name: 'attention-merge-shared',
    sources: [keepProbe, rotatedValue, sharedSource],
    constants: { ...headConstants(heads), PROBES, WORKGROUP: workgroup, SUBSETS, MAX_SPLITS },
    ...MERGED,
    groups: ({ tokens }) => [heads.numHeads, tokens],
  };
}
