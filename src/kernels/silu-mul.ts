import source from '../../shaders/silu-mul.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';

/** `x [T, 2 · width]` (gate, then up) → `y [T, width]` = silu(gate) · up. */
export function siluMulKernel(device: Device, width: number): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  return {
    name: 'silu-mul',
    sources: [source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
