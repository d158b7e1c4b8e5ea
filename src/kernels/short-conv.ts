import source from '../../shaders/short-conv.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { PAGE_TOKENS } from './heads.ts';

/**
 * A gated convolution of a batch: `x [T, 3, width]` (its gate, that of what comes out, and what goes in), `taps
 * [count, width]`, the latest token's first → `y [T, width]`. `state`: the layer's pages, which it fills (transformers,
 * modeling_lfm2.py, Lfm2ShortConv).
 */
export function shortConvKernel(device: Device, width: number, taps: number): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  return {
    name: 'short-conv',
    sources: [source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, TAPS: taps, PAGE_TOKENS },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'pages', type: 'array<vec4u>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'taps', type: 'array<vec4f>', access: 'read' },
      { name: 'state', type: 'array<vec4f>', access: 'read_write' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
