import source from '../../../shaders/encoder/attention-texts.wgsl?raw';
import type { EncoderConfig } from '../../config/encoder-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** Less than any score, and finite. */
const LEAST = -3e38;

/**
 * `qkv [T, 3 numHeads headDim]` → `y [T, numHeads headDim]`: each token attends to all of its text, which `batch_table` has
 * as its first token's place in the batch and the number of its tokens.
 */
export function attentionTextsKernel({ variant: { workgroup } }: Device, { numHeads, headDim }: Pick<EncoderConfig, 'numHeads' | 'headDim'>): Kernel<{ tokens: number }> {
  return {
    name: 'attention-texts',
    sources: [source],
    constants: { WORKGROUP: workgroup, NUM_HEADS: numHeads, HEAD_DIM4: headDim / 4, SCALE: { f32: 1 / Math.sqrt(headDim) }, LEAST: { f32: LEAST } },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'qkv', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil(tokens / workgroup), numHeads],
  };
}
