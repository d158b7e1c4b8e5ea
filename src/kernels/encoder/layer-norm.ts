import source from '../../../shaders/encoder/layer-norm.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { reduction } from '../slot-choices.ts';

/** `x [T, width]`, layer-normed (arXiv 1607.06450), weighted and shifted in place. */
export function layerNormKernel(device: Device, width: number, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'layer-norm',
    sources: [reduce, source],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps } },
    bindings: [
      { name: 'norm_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'norm_bias', type: 'array<vec4f>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil(tokens / rowsPerGroup)],
  };
}
