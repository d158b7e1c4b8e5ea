import source from '../../../shaders/encoder/rotate-heads.wgsl?raw';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { reduction } from '../slot-choices.ts';

/**
 * Heads of queries and keys of `qkv [T, (numHeads + 2 numKvHeads) headDim]`, RMS-normed, weighted by `norm_weights [2, headDim]`
 * (of queries, of keys) and rotated by the row of `rope [positions, 2, headDim / 2]` that `batch_table` says, in place.
 */
export function rotateHeadsKernel(
  device: Device,
  heads: Pick<ModelConfig, 'numHeads' | 'numKvHeads' | 'headDim' | 'rmsNormEps'>,
): Kernel<{ tokens: number }> {
  const { numHeads, numKvHeads, headDim, rmsNormEps } = heads;
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'rotate-heads',
    sources: [reduce, source],
    constants: {
      ...constants,
      NUM_HEADS: numHeads,
      NUM_KV_HEADS: numKvHeads,
      HEAD_DIM4: headDim / 4,
      NORM_EPS: { f32: rmsNormEps },
    },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'rope', type: 'array<vec4f>', access: 'read' },
      { name: 'norm_weights', type: 'array<vec4f>', access: 'read' },
      { name: 'qkv', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil((numHeads + numKvHeads) / rowsPerGroup), tokens],
  };
}
