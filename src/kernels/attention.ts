import source from '../../shaders/attention.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { headConstants, type Heads, PAGE_TOKENS } from './heads.ts';
import { halfPrecision, variantOf } from './variants.ts';

/** Most runs of pages that one token's attention is split into. */
export const MAX_SPLITS = 64;

/** How the pages up to `length` tokens are shared out: one token alone is split as far as it goes, a batch not at all. */
export function splitPages(tokens: number, length: number): { splits: number; pagesPerSplit: number } {
  const pages = Math.ceil(length / PAGE_TOKENS);
  if (tokens > 1) return { splits: 1, pagesPerSplit: pages };
  const pagesPerSplit = Math.ceil(pages / MAX_SPLITS);
  return { splits: Math.ceil(pages / pagesPerSplit), pagesPerSplit };
}

/** Floats of one (token, split, head) in `partial_outputs`. */
export const partialFloats = (headDim: number): number => headDim + 4;

/** Queries of `qkv` over the pages → `partial_outputs [T, splits, numHeads, headDim + 4]`. */
export function attentionKernel(device: Device, heads: Heads): Kernel {
  const half = halfPrecision(device);
  return {
    name: 'attention',
    sources: [half.source, source],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      WORKGROUP: variantOf(device).attentionWorkgroup,
      SCALE: { f32: 1 / Math.sqrt(heads.headDim) },
    },
    bindings: [
      { name: 'qkv', type: 'array<vec4f>', access: 'read' },
      { name: 'pages', type: 'array<u32>', access: 'read' },
      { name: 'rope', type: 'array<vec4f>', access: 'read' },
      { name: 'kv', type: 'array<vec2u>', access: 'read' },
      { name: 'partial_outputs', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { position: 'u32', tokens: 'u32', splits: 'u32', pagesPerSplit: 'u32' },
  };
}

export const attentionGroups = (device: Device, { numHeads }: Heads, tokens: number, splits: number): [number] => [
  Math.ceil((tokens * splits * numHeads) / variantOf(device).attentionWorkgroup),
];
