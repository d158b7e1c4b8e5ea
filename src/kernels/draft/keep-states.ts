import source from '../../../shaders/draft/keep-states.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import { folded } from '../../gpu/grid.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { reduction } from '../slot-choices.ts';

/** `x [T, width]`, RMS-normed and weighted → rows of `states [positions, width]` behind the tokens' positions, from `first [2]` on: a row, of the text whose pages begin there. */
export function keepStatesKernel(device: Device, width: number, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'keep-states',
    sources: [reduce, source],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps } },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'norm_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'first', type: 'array<u32>', access: 'read' },
      { name: 'states', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => folded(Math.ceil(tokens / rowsPerGroup)),
  };
}
