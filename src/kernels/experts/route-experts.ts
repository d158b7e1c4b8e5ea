import source from '../../../shaders/experts/route-experts.wgsl?raw';
import shareSigmoid from '../../../shaders/slots/expert-share/sigmoid.wgsl?raw';
import shareSoftmax from '../../../shaders/slots/expert-share/softmax.wgsl?raw';
import type { Experts } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** Words of a token's way through one of its experts: which, and the bits of its share. */
export const ROUTE_WORDS = 2;

const SHARES: Record<Experts['shares'], string> = { softmax: shareSoftmax, sigmoid: shareSigmoid };

/**
 * Scores `x [T, count]` → `routes [T, used]`: a token's experts and their shares (transformers, modeling_qwen3_moe.py,
 * Qwen3MoeTopKRouter). Of sigmoids `expert_bias [count]` is added where they are compared (modeling_lfm2_moe.py).
 */
export function routeExpertsKernel(
  device: Device,
  { count, used, shares, normalizes }: Pick<Experts, 'count' | 'used' | 'shares' | 'normalizes'>,
): Kernel<{ tokens: number }> {
  return {
    name: 'route-experts',
    sources: [SHARES[shares], source],
    constants: { WORKGROUP: device.variant.workgroup, EXPERTS: count, EXPERTS_USED: used, NORMALIZED: normalizes },
    bindings: [
      { name: 'x', type: 'array<f32>', access: 'read' },
      ...(shares === 'sigmoid' ? [{ name: 'expert_bias', type: 'array<f32>', access: 'read' as const }] : []),
      { name: 'routes', type: 'array<vec2u>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [tokens],
  };
}
