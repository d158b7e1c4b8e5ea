import source from '../../../shaders/encoder/activate.wgsl?raw';
import geluErf from '../../../shaders/slots/activation/gelu-erf.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** `x [T, width]` through GELU, in place. */
export function activateKernel({ variant: { workgroup } }: Device, width: number): Kernel<{ tokens: number }> {
  return {
    name: 'activate',
    sources: [geluErf, source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [{ name: 'x', type: 'array<vec4f>', access: 'read_write' }],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
