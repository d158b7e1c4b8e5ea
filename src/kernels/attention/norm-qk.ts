import source from '../../../shaders/attention/norm-qk.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { headConstants, type Heads } from '../heads.ts';
import { reduction } from '../slot-choices.ts';

/**
 * Norms q and k of `qkv [T, (numHeads + 2 numKvHeads) headDim]`, each over all of its heads, in place (transformers,
 * modeling_olmoe.py, OlmoeAttention). `norm_weight`: q's, then k's. Of models whose queries have no gates.
 */
export function normQkKernel(device: Device, heads: Heads): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'norm-qk',
    sources: [reduce, source],
    constants: { ...constants, ...headConstants(heads), NORM_EPS: { f32: heads.rmsNormEps } },
    bindings: [
      { name: 'norm_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'qkv', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil((2 * tokens) / rowsPerGroup)],
  };
}
