import source from '../../shaders/rms-norm.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import { folded } from '../gpu/grid.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { reduction } from './slot-choices.ts';

/** `x [T, width]` from token `params.start` on → `y [tokens, width]`, RMS-normed and weighted (arXiv 1910.07467); `accumulate`: added to y; all times `params.scale`. */
export function rmsNormKernel(
  device: Device,
  width: number,
  eps: number,
  accumulate = false,
): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'rms-norm',
    sources: [reduce, source],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps }, ACCUMULATE: accumulate },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'norm_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { start: 'u32', tokens: 'u32', scale: 'f32' },
    groups: ({ tokens }) => folded(Math.ceil(tokens / rowsPerGroup)),
  };
}
