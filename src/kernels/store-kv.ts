import rotatedValue from '../../shaders/parts/pages/rotated-value.wgsl?raw';
import rotation from '../../shaders/parts/pages/rotation.wgsl?raw';
import storedHalf from '../../shaders/parts/stored-half.wgsl?raw';
import source from '../../shaders/store-kv.wgsl?raw';
import sharedSource from '../../shaders/attention/store-kv-shared.wgsl?raw';
import noQkNorm from '../../shaders/slots/qk-norm/none.wgsl?raw';
import qkNorm from '../../shaders/slots/qk-norm/heads.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { headConstants, type Heads } from './heads.ts';
import { halfPrecision } from './slot-choices.ts';

/** Little to do for a token: small workgroups. */
const WORKGROUP = 8;
/** The same where invocations share heads out: as many as are sure to run together. */
const SHARED_WORKGROUP = 64;

/**
 * Keys and values of `qkv [T, (numHeads + 2 numKvHeads) headDim]` → their pages in `kv`, values rotated; norms q in place with
 * qkNorm, and does nothing else where a layer has no keys: `stores`.
 */
export function storeKvKernel(device: Device, heads: Heads, stores = true): Kernel<{ tokens: number }> {
  const half = halfPrecision(device);
  const norms = heads.qkNorm ? ['query_norm_weight', 'key_norm_weight'] : [];
  return {
    ...(device.variant.sharedPages ? sharingHeads(half.source, heads, stores) : alone(half.source, heads, stores)),
    enables: half.enables,
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'pages', type: 'array<vec4u>', access: 'read' },
      { name: 'rope', type: 'array<vec4f>', access: 'read' },
      ...norms.map((name) => ({ name, type: 'array<vec4f>', access: 'read' as const })),
      { name: 'qkv', type: 'array<vec4f>', access: 'read_write' },
      { name: 'kv', type: 'array<vec2u>', access: 'read_write' },
    ],
    params: {},
  };
}

type Sharing = Pick<Kernel<{ tokens: number }>, 'name' | 'sources' | 'constants' | 'groups'>;

const choices = ({ qkNorm, valueNorm = false, numKvHeads, rmsNormEps }: Heads, stores: boolean) => ({
  ...{ QK_NORM: qkNorm, VALUE_NORM: valueNorm, NORM_EPS: { f32: rmsNormEps } },
  STORED_KV: stores ? numKvHeads : 0,
});

/** An invocation norms a head alone. */
function alone(half: string, heads: Heads, stores: boolean): Sharing {
  const invocations = (stores ? (heads.numKvHeads * heads.headDim) / 8 : 0) + (heads.qkNorm ? heads.numHeads : 0);
  return {
    name: 'store-kv',
    sources: [half, storedHalf, rotation, rotatedValue, heads.qkNorm ? qkNorm : noQkNorm, source],
    constants: { ...headConstants(heads), WORKGROUP, ...choices(heads, stores) },
    groups: ({ tokens }) => [Math.ceil(invocations / WORKGROUP), tokens],
  };
}

function sharingHeads(half: string, heads: Heads, stores: boolean): Sharing {
  const abreast = Math.floor((SHARED_WORKGROUP * 8) / heads.headDim);
  const stored = (stores ? heads.numKvHeads : 0) + (heads.qkNorm ? heads.numHeads : 0);
  return {
    name: 'store-kv-shared',
    sources: [half, storedHalf, rotation, rotatedValue, heads.qkNorm ? qkNorm : noQkNorm, sharedSource],
    constants: {
      ...headConstants(heads),
      ...choices(heads, stores),
      WORKGROUP: SHARED_WORKGROUP,
      HEADS_ABREAST: abreast,
      STORED_HEADS: stored,
    },
    groups: ({ tokens }) => [Math.ceil(stored / abreast), tokens],
  };
}
