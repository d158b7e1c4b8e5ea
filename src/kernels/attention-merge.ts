import source from '../../shaders/attention-merge.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { headConstants, type Heads } from './heads.ts';
import { PROBES } from './probe-page.ts';

/**
 * `partial_outputs [T, splits, numHeads, headDim + 4]` → `y [T, numHeads headDim]`; of the last tokens also their part of
 * `probes`, see probe-page.ts. `slotPages`: entries of a stream's region of the page table.
 */
export function attentionMergeKernel(device: Device, heads: Heads): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  const quads = (heads.numHeads * heads.headDim) / 4;
  return {
    name: 'attention-merge',
    sources: [source],
    constants: { ...headConstants(heads), PROBES, WORKGROUP: workgroup },
    bindings: [
      { name: 'partial_outputs', type: 'array<vec4f>', access: 'read' },
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'qkv', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
      { name: 'probes', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32', splits: 'u32', slotPages: 'u32' },
    groups: ({ tokens }) => [Math.ceil((tokens * quads) / workgroup)],
  };
}
