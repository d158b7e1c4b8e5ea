import source from '../../shaders/sigmoid-mul.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { type Heads, rowWidth } from './heads.ts';

/** `y [T, numHeads headDim]` multiplied by the sigmoid of the gates behind the queries in `x`, in place. */
export function sigmoidMulKernel(device: Device, heads: Heads): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  const width = heads.numHeads * heads.headDim;
  return {
    name: 'sigmoid-mul',
    sources: [source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, ROW4: rowWidth(heads) / 4, GATE4: width / 4 },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
