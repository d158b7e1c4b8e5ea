import source from '../../../shaders/attention/attention-decode.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import type { Heads } from '../heads.ts';
import { headChunks, pageSharing } from './page-sharing.ts';

/** Queries of `qkv`, a token each of any sequence → `partial_outputs`, as attentionKernel leaves it. */
export function attentionDecodeKernel(device: Device, heads: Heads, halfOnly: boolean): Kernel<{ tokens: number; splits: number }> {
  const { sources, enables, constants } = pageSharing(device, heads);
  return {
    name: 'attention-decode',
    sources: [...sources, source],
    enables,
    constants: { ...constants, QUERY_STRIDE: heads.headDim / 4, HALF_ONLY: halfOnly },
    bindings: [
      { name: 'qkv', type: 'array<vec4f>', access: 'read' },
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'pages', type: 'array<vec4u>', access: 'read' },
      { name: 'rope', type: 'array<vec4f>', access: 'read' },
      { name: 'kv', type: 'array<vec2u>', access: 'read' },
      { name: 'partial_outputs', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32', splits: 'u32', pagesPerSplit: 'u32' },
    groups: ({ tokens, splits }) => [heads.numKvHeads * headChunks(heads), splits, tokens],
  };
}
