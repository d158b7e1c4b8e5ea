import source from '../../shaders/attention-merge.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { headConstants, type Heads } from './heads.ts';
import { variantOf } from './variants.ts';

/** `partial_outputs [T, splits, numHeads, headDim + 4]` → `y [T, numHeads headDim]`. */
export function attentionMergeKernel(device: Device, heads: Heads): Kernel {
  return {
    name: 'attention-merge',
    sources: [source],
    constants: { ...headConstants(heads), WORKGROUP: variantOf(device).workgroup },
    bindings: [
      { name: 'partial_outputs', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32', splits: 'u32' },
  };
}

export const attentionMergeGroups = (device: Device, { numHeads, headDim }: Heads, tokens: number): [number] => [
  Math.ceil((tokens * numHeads * headDim) / 4 / variantOf(device).workgroup),
];
