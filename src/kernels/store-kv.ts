import source from '../../shaders/store-kv.wgsl?raw';
import noQkNorm from '../../shaders/slots/qk-norm/none.wgsl?raw';
import qkNorm from '../../shaders/slots/qk-norm/heads.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { headConstants, type Heads } from './heads.ts';
import { halfPrecision } from './slot-choices.ts';

/** Little to do for a token: small workgroups. */
const WORKGROUP = 8;

/** Keys and values of `qkv [T, (numHeads + 2 numKvHeads) headDim]` → their pages in `kv`; norms q in place with qkNorm. */
export function storeKvKernel(device: Device, heads: Heads): Kernel<{ tokens: number }> {
  const invocations = (heads.numKvHeads * heads.headDim) / 8 + (heads.qkNorm ? heads.numHeads : 0);
  const half = halfPrecision(device);
  const norms = heads.qkNorm ? ['query_norm_weight', 'key_norm_weight'] : [];
  return {
    name: 'store-kv',
    sources: [half.source, heads.qkNorm ? qkNorm : noQkNorm, source],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      WORKGROUP,
      QK_NORM: heads.qkNorm,
      NORM_EPS: { f32: heads.rmsNormEps },
    },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'pages', type: 'array<vec4u>', access: 'read' },
      { name: 'rope', type: 'array<vec4f>', access: 'read' },
      ...norms.map((name) => ({ name, type: 'array<vec4f>', access: 'read' as const })),
      { name: 'qkv', type: 'array<vec4f>', access: 'read_write' },
      { name: 'kv', type: 'array<vec2u>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil(invocations / WORKGROUP), tokens],
  };
}
