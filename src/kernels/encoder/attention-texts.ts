import source from '../../../shaders/encoder/attention-texts.wgsl?raw';
import sharedSource from '../../../shaders/encoder/attention-texts-shared.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel, KernelText } from '../../gpu/kernel.ts';

/** Less than any score, and finite. */
const LEAST = -3e38;
/** Of the kernel that shares keys out: invocations of a workgroup, most keys in its memory at once, and their numbers. */
const INVOCATIONS = 256;
const MOST_KEYS = 8;
const SHARED_FLOATS = 512;

/** Invocations of a query: each has a part of the head in registers, of at most so many floats where whole vectors allow it. */
const SLICE = 16;
const slicesOf = (headDim: number): number =>
  [4, 8, 16].find((slices) => headDim % (4 * slices) === 0 && headDim / slices <= SLICE) ?? 4;

/** More than any text has. */
const EVERYWHERE = 2 ** 30;

export interface TextHeads {
  numHeads: number;
  headDim: number;
  /** Default: as many as of queries. */
  numKvHeads?: number;
  /** Scores are multiplied by this; default: 1 / sqrt(headDim). */
  attentionScale?: number | undefined;
  /** Tokens before and behind each that it attends to; default: all of its text. */
  reach?: number | undefined;
}

/**
 * `qkv [T, (numHeads + 2 numKvHeads) headDim]` → `y [T, numHeads headDim]`: each token attends to its text, which `batch_table`
 * has as its first token's place in the batch and the number of its tokens.
 */
export function attentionTextsKernel({ variant }: Device, heads: TextHeads): Kernel<{ tokens: number }> {
  const {
    numHeads,
    headDim,
    numKvHeads = numHeads,
    attentionScale = 1 / Math.sqrt(headDim),
    reach = EVERYWHERE,
  } = heads;
  const sizes = { NUM_HEADS: numHeads, NUM_KV_HEADS: numKvHeads, HEAD_DIM4: headDim / 4, REACH: reach };
  const constants = { ...sizes, SCALE: { f32: attentionScale }, LEAST: { f32: LEAST } };
  const bound: Pick<KernelText, 'bindings' | 'params'> = {
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'qkv', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32' },
  };
  const slices = slicesOf(headDim);
  if (variant.sharedPages && headDim % (4 * slices) === 0) {
    const queries = INVOCATIONS / slices;
    const keys = Math.max(MOST_KEYS / 2, Math.min(MOST_KEYS, Math.floor(SHARED_FLOATS / headDim)));
    return {
      name: 'attention-texts-shared',
      sources: [sharedSource],
      constants: { ...constants, QUERIES: queries, SLICES: slices, KEYS: keys, SLICE4: headDim / 4 / slices },
      ...bound,
      groups: ({ tokens }) => [Math.ceil(tokens / queries), numHeads],
    };
  }
  return {
    name: 'attention-texts',
    sources: [source],
    constants: { ...constants, WORKGROUP: variant.workgroup },
    ...bound,
    groups: ({ tokens }) => [Math.ceil(tokens / variant.workgroup), numHeads],
  };
}
