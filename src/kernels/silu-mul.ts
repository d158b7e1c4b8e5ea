import source from '../../shaders/silu-mul.wgsl?raw';
import type { Activation } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { ACTIVATIONS } from './slot-choices.ts';

/** `x [T, 2 · width]` (gate, then up) → `y [T, width]` = activation(gate) · up. */
export function siluMulKernel(device: Device, width: number, activation: Activation): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  return {
    name: 'silu-mul',
    sources: [ACTIVATIONS[activation], source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
