import source from '../../../shaders/encoder/pool-texts.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** `x [T, width]` → `pooled [N, width]`: the mean of the tokens of each span, `spans [N]` of first token and number. */
export function poolTextsKernel({ variant: { workgroup } }: Device, width: number): Kernel<{ texts: number }> {
  return {
    name: 'pool-texts',
    sources: [source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [
      { name: 'spans', type: 'array<vec2u>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'pooled', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: {},
    groups: ({ texts }) => [Math.ceil(width / 4 / workgroup), texts],
  };
}
