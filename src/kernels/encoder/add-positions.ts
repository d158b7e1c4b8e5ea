import source from '../../../shaders/encoder/add-positions.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** `x [T, width]` + rows of `positions [P, width]`, as `batch_table` says, in place. */
export function addPositionsKernel({ variant: { workgroup } }: Device, width: number): Kernel<{ tokens: number }> {
  return {
    name: 'add-positions',
    sources: [source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'positions', type: 'array<vec4f>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
