import source from '../../../shaders/experts/sum-experts.wgsl?raw';
import residualBefore from '../../../shaders/slots/residual/before.wgsl?raw';
import residualOwn from '../../../shaders/slots/residual/own.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/**
 * `x [T, used, width]`, what its experts made of each token → `y [T, width]` += `scale` times their sum, by the shares in
 * `routes [T, used]`. With `isApart` it is added to `before [T, width]`, and y overwritten.
 */
export function sumExpertsKernel(
  device: Device,
  width: number,
  used: number,
  isApart = false,
): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  return {
    name: 'sum-experts',
    sources: [isApart ? residualBefore : residualOwn, source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, EXPERTS_USED: used },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'routes', type: 'array<vec2u>', access: 'read' },
      ...(isApart ? [{ name: 'before', type: 'array<vec4f>', access: 'read' as const }] : []),
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { scale: 'f32' },
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
