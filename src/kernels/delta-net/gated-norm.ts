import source from '../../../shaders/delta-net/gated-norm.wgsl?raw';
import { deltaWidths } from '../../config/delta-net.ts';
import type { DeltaNet } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { ACTIVATIONS, reduction } from '../slot-choices.ts';

/** `y [T, numValueHeads, headDim]`, RMS-normed head by head, weighted and multiplied by SiLU of the gates in `x [T, projected]`, in place. */
export function gatedNormKernel(device: Device, net: DeltaNet, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  const { numValueHeads, headDim } = net;
  const { convolved, projected } = deltaWidths(net);
  const own = {
    NUM_HEADS: numValueHeads,
    HEAD4: headDim / 4,
    ROW4: projected / 4,
    GATE4: convolved / 4,
    NORM_EPS: { f32: eps },
  };
  return {
    name: 'gated-norm',
    sources: [reduce, ACTIVATIONS.silu, source],
    constants: { ...constants, ...own },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'norm_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil((tokens * numValueHeads) / rowsPerGroup)],
  };
}
