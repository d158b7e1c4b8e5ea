import activateSource from '../../shaders/encoder/activate.wgsl?raw';
import addPositionsSource from '../../shaders/encoder/add-positions.wgsl?raw';
import attentionSharedSource from '../../shaders/encoder/attention-texts-shared.wgsl?raw';
import attentionSource from '../../shaders/encoder/attention-texts.wgsl?raw';
import layerNormSource from '../../shaders/encoder/layer-norm.wgsl?raw';
import poolTextsSource from '../../shaders/encoder/pool-texts.wgsl?raw';
import rotateHeadsSource from '../../shaders/encoder/rotate-heads.wgsl?raw';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { type Kernel, type KernelText, reads, writes } from '../gpu/kernel.ts';
import { reduction } from './kernel-variants.ts';
import { part } from './shader-library.ts';

/** A score below every real one, and finite. */
const LEAST = -3e38;
/** attention-texts-shared: invocations of a workgroup, most keys in its memory at once, and most floats of them. */
const INVOCATIONS = 256;
const MOST_KEYS = 8;
const SHARED_FLOATS = 512;

/** Most floats of a head that one invocation of attention-texts-shared holds, if the head divides into whole vec4f. */
const SLICE = 16;
/** Invocations that share a query. */
const slicesOf = (headDim: number): number =>
  [4, 8, 16].find((slices) => headDim % (4 * slices) === 0 && headDim / slices <= SLICE) ?? 4;

/** More tokens than any text has. */
const EVERYWHERE = 2 ** 30;

export interface TextHeads {
  numHeads: number;
  headDim: number;
  /** Default: numHeads. */
  numKvHeads?: number;
  /** Factor of scores; default: 1 / sqrt(headDim). */
  attentionScale?: number | undefined;
  /** Tokens before and after a token that it attends to; default: its whole text. */
  reach?: number | undefined;
}

/**
 * `qkv [T, (numHeads + 2 numKvHeads) headDim]` → `y [T, numHeads headDim]`: each token attends to its text. `batch_table` has
 * the text's first token in the batch, and its number of tokens.
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
    bindings: [reads('batch_table', 'vec4u'), reads('qkv', 'vec4f'), writes('y', 'vec4f')],
    params: { tokens: 'u32' },
  };
  const slices = slicesOf(headDim);
  if (variant.sharedPages && headDim % (4 * slices) === 0) {
    const queries = INVOCATIONS / slices;
    const keys = Math.max(MOST_KEYS / 2, Math.min(MOST_KEYS, Math.floor(SHARED_FLOATS / headDim)));
    return {
      name: 'attention-texts-shared',
      sources: [attentionSharedSource],
      constants: { ...constants, QUERIES: queries, SLICES: slices, KEYS: keys, SLICE4: headDim / 4 / slices },
      ...bound,
      groups: ({ tokens }) => [Math.ceil(tokens / queries), numHeads],
    };
  }
  return {
    name: 'attention-texts',
    sources: [attentionSource],
    constants: { ...constants, WORKGROUP: variant.workgroup },
    ...bound,
    groups: ({ tokens }) => [Math.ceil(tokens / variant.workgroup), numHeads],
  };
}

/**
 * Heads of queries and keys of `qkv [T, (numHeads + 2 numKvHeads) headDim]`, RMS-normed, weighted by `norm_weights
 * [2, headDim]` (queries, keys) and rotated by their token's row of `rope [positions, 2, headDim / 2]`, in place. `batch_table`
 * has the row.
 */
export function rotateHeadsKernel(
  device: Device,
  heads: Pick<ModelConfig, 'numHeads' | 'numKvHeads' | 'headDim' | 'rmsNormEps'>,
): Kernel<{ tokens: number }> {
  const { numHeads, numKvHeads, headDim, rmsNormEps } = heads;
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'rotate-heads',
    sources: [reduce, rotateHeadsSource],
    constants: {
      ...constants,
      NUM_HEADS: numHeads,
      NUM_KV_HEADS: numKvHeads,
      HEAD_DIM4: headDim / 4,
      NORM_EPS: { f32: rmsNormEps },
    },
    bindings: [
      reads('batch_table', 'vec4u'),
      reads('rope', 'vec4f'),
      reads('norm_weights', 'vec4f'),
      writes('qkv', 'vec4f'),
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil((numHeads + numKvHeads) / rowsPerGroup), tokens],
  };
}

/** `x [T, width]`, layer-normed (arXiv 1607.06450), weighted and shifted, in place. */
export function layerNormKernel(device: Device, width: number, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'layer-norm',
    sources: [reduce, layerNormSource],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps } },
    bindings: [reads('norm_weight', 'vec4f'), reads('norm_bias', 'vec4f'), writes('x', 'vec4f')],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil(tokens / rowsPerGroup)],
  };
}

/** `x [T, width]` = GELU(x), in place, with the error function. */
export function activateKernel({ variant: { workgroup } }: Device, width: number): Kernel<{ tokens: number }> {
  return {
    name: 'activate',
    sources: [part('activation/gelu-erf'), activateSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [writes('x', 'vec4f')],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}

/** `x [T, width]` += each token's row of `positions [P, width]`, in place. `batch_table` has the row. */
export function addPositionsKernel({ variant: { workgroup } }: Device, width: number): Kernel<{ tokens: number }> {
  return {
    name: 'add-positions',
    sources: [addPositionsSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [reads('batch_table', 'vec4u'), reads('positions', 'vec4f'), writes('x', 'vec4f')],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}

/** `x [T, width]` → `pooled [N, width]`: the mean of each span's tokens; `spans [N]`: first token, number of tokens. */
export function poolTextsKernel({ variant: { workgroup } }: Device, width: number): Kernel<{ texts: number }> {
  return {
    name: 'pool-texts',
    sources: [poolTextsSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [reads('spans', 'vec2u'), reads('x', 'vec4f'), writes('pooled', 'vec4f')],
    params: {},
    groups: ({ texts }) => [Math.ceil(width / 4 / workgroup), texts],
  };
}
