import source from '../../../shaders/experts/route-experts.wgsl?raw';
import type { Experts } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** Words of a token's way through one of its experts: which, and the bits of its share. */
export const ROUTE_WORDS = 2;

/** Scores `x [T, count]` → `routes [T, used]`: a token's experts and their shares (transformers, modeling_qwen3_moe.py, Qwen3MoeTopKRouter). */
export function routeExpertsKernel(device: Device, { count, used, normalizes }: Experts): Kernel<{ tokens: number }> {
  return {
    name: 'route-experts',
    sources: [source],
    constants: { WORKGROUP: device.variant.workgroup, EXPERTS: count, EXPERTS_USED: used, NORMALIZED: normalizes },
    bindings: [
      { name: 'x', type: 'array<f32>', access: 'read' },
      { name: 'routes', type: 'array<vec2u>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [tokens],
  };
}
