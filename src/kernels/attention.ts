import source from '../../shaders/attention.wgsl?raw';
import pageAttention from '../../shaders/parts/pages/page-attention.wgsl?raw';
import pageHalf from '../../shaders/parts/pages/page-half.wgsl?raw';
import pageLayout from '../../shaders/parts/pages/page-layout.wgsl?raw';
import pageQuantized from '../../shaders/parts/pages/page-quantized.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Binding, Kernel, KernelText } from '../gpu/kernel.ts';
import { headConstants, type Heads, PAGE_TOKENS } from './heads.ts';
import { formConstants } from './formats/page-forms.ts';
import { halfPrecision, scoreScaling, windowOf } from './slot-choices.ts';

/** Most runs of pages that the attention of a batch's tokens is split into, unless it has more tokens. */
export const MAX_SPLITS = 64;

/** A batch by its tokens, and by those of the longest sequence with them. */
export interface BatchLength {
  tokens: number;
  length: number;
}

/** Workgroups that share out the pages of each token, and how many pages each has. */
export interface Splits {
  splits: number;
  pagesPerSplit: number;
}

/** Each leaves its part of the output for attention-merge. The fewer tokens, the more splits, so that there is work for all. */
export function splitPages({ tokens, length }: BatchLength): Splits {
  const pages = Math.ceil(length / PAGE_TOKENS);
  const pagesPerSplit = Math.ceil(pages / Math.max(1, Math.floor(MAX_SPLITS / tokens)));
  return { splits: Math.ceil(pages / pagesPerSplit), pagesPerSplit };
}

/** `attend_page`, but for the window. */
export const PAGE_LIBRARIES = [pageLayout, pageHalf, pageQuantized, pageAttention];

/** Floats of one (token, split, head) in `partial_outputs`. */
export const partialFloats = (headDim: number): number => headDim + 4;

/** What kernels bind that leave `partial_outputs`; `kv`: what they do with the pages. */
export const attending = (kv: Binding['access']): Pick<KernelText, 'bindings' | 'params'> => ({
  bindings: [
    { name: 'qkv', type: 'array<vec4f>', access: 'read' },
    { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
    { name: 'pages', type: 'array<vec4u>', access: 'read' },
    { name: 'rope', type: 'array<vec4f>', access: 'read' },
    { name: 'kv', type: 'array<vec2u>', access: kv },
    { name: 'partial_outputs', type: 'array<vec4f>', access: 'read_write' },
  ],
  params: { tokens: 'u32', splits: 'u32', pagesPerSplit: 'u32' },
});

/** What kernels bind that leave the attention of a token whole: `y [T, numHeads headDim]`, and for the last tokens `probes`. */
export const FINISHED: readonly Binding[] = [
  { name: 'y', type: 'array<vec4f>', access: 'read_write' },
  { name: 'probes', type: 'array<vec4f>', access: 'read_write' },
];

/** Which pages are read. */
export interface PageSight {
  /** Every page is in f16; drivers take a second or more to compile what reads the other forms. */
  halfOnly: boolean;
  /** Tokens that each attends to, itself among them; default: all. */
  window?: number | undefined;
}

/** The length that `together` consecutive tokens of a batch see of, in whole pages: those behind a window are passed over. */
export function lengthInSight({ length }: BatchLength, window: number | undefined, together = 1): number {
  if (window === undefined) return length;
  const pages = Math.floor((window + together + PAGE_TOKENS - 3) / PAGE_TOKENS) + 1;
  return Math.min(length, pages * PAGE_TOKENS);
}

/** Queries of `qkv` over the pages → `partial_outputs [T, splits, numHeads, headDim + 4]`. Splits begin where each token sees. */
export function attentionKernel(
  device: Device,
  heads: Heads,
  { halfOnly, window }: PageSight,
): Kernel<{ tokens: number; splits: number }> {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const { attentionWorkgroup } = device.variant;
  const group = headGroup(device, heads);
  const sight = windowOf(window);
  return {
    name: 'attention',
    sources: [half.source, scale.source, sight.source, ...PAGE_LIBRARIES, source],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      ...sight.constants,
      GROUP: group,
      HALF_ONLY: halfOnly,
      WORKGROUP: attentionWorkgroup,
      ...scale.constants,
    },
    ...attending('read'),
    groups: ({ tokens, splits }) => [Math.ceil((tokens * splits * heads.numHeads) / group / attentionWorkgroup)],
  };
}

/** Components of outputs that one invocation keeps, at most, where it attends with several heads. */
const MOST_DIMENSIONS = 256;

/** Heads of a query that one invocation attends with: they share keys and values. */
function headGroup(device: Device, { numHeads, numKvHeads, headDim }: Heads): number {
  const shared = numHeads / numKvHeads;
  let group = Math.max(1, Math.min(device.variant.attentionHeads, shared, Math.floor(MOST_DIMENSIONS / headDim)));
  while (shared % group !== 0) group--;
  return group;
}
