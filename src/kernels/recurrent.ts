import causalConvSource from '../../shaders/recurrent/causal-conv.wgsl?raw';
import deltaRuleSource from '../../shaders/recurrent/delta-rule.wgsl?raw';
import gatedNormSource from '../../shaders/recurrent/gated-norm.wgsl?raw';
import shortConvSource from '../../shaders/recurrent/short-conv.wgsl?raw';
import { broughtFloats, deltaStateFloats, deltaWidths, stateBytes, type DeltaNet } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { type Kernel, reads, writes } from '../gpu/kernel.ts';
import { PAGE_TOKENS } from './heads.ts';
import { reduction } from './kernel-variants.ts';
import { part } from './shader-library.ts';

/**
 * A gated convolution: `x [T, 3, width]` (input gate, output gate, input), `taps [count, width]`, the latest token's first →
 * `y [T, width]`. `state`: the layer's pages, which the kernel fills (transformers, modeling_lfm2.py, Lfm2ShortConv).
 */
export function shortConvKernel(device: Device, width: number, taps: number): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  return {
    name: 'short-conv',
    sources: [shortConvSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, TAPS: taps, PAGE_TOKENS },
    bindings: [
      reads('batch_table', 'vec4u'),
      reads('pages', 'vec4u'),
      reads('x', 'vec4f'),
      reads('taps', 'vec4f'),
      writes('state', 'vec4f'),
      writes('y', 'vec4f'),
    ],
    params: {},
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}

/** A batch of sequences with `runTokens` consecutive tokens each; a sequence has up to `past` earlier tokens that its state lacks. */
export interface DeltaSize {
  tokens: number;
  runTokens: number;
  past: number;
}

/**
 * `x [T, projected]` → `y [sequences, past + runTokens, convolved + 2 numValueHeads]`. The first `convolved` columns pass a
 * causal convolution with `taps [count, convolved]`, the latest token's first, then SiLU (transformers, modeling_qwen3_5.py,
 * causal_conv1d_fn); the last ones are copied. `places`: the recurrent states that each sequence slot reads and writes; see
 * `RecurrentStates.show`.
 */
export function causalConvKernel(device: Device, net: DeltaNet): Kernel<DeltaSize> {
  const { workgroup } = device.variant;
  const { convolved, projected, values } = deltaWidths(net);
  return {
    name: 'causal-conv',
    sources: [part('activation/silu'), causalConvSource],
    constants: {
      ...{
        WORKGROUP: workgroup,
        WIDTH4: convolved / 4,
        ROW4: projected / 4,
        GATES_AT4: (convolved + values) / 4,
        TAPS: net.taps,
      },
      ...{ STATE4: deltaStateFloats(net) / 4, TAIL_AT4: stateBytes(net) / 16, TAIL4: broughtFloats(net) / 4 },
    },
    bindings: [
      reads('batch_table', 'vec4u'),
      reads('places', 'vec4u'),
      reads('x', 'vec4f'),
      reads('taps', 'vec4f'),
      writes('state', 'vec4f'),
      writes('y', 'vec4f'),
    ],
    params: { runTokens: 'u32', past: 'u32' },
    groups: ({ tokens, runTokens, past }) => [
      Math.ceil(broughtFloats(net) / 4 / workgroup),
      (tokens / runTokens) * (past + runTokens),
    ],
  };
}

/** Values of a head that a workgroup computes; head sizes are multiples of it. */
const COLUMNS = 16;
/**
 * Invocations that share a column of the state: with headDim 128 each has 16 rows. Half of them if they do not divide a
 * head.
 */
const PARTS = 8;
/** Epsilon of the norms of queries and keys (transformers, modeling_qwen3_5.py, l2norm). */
const LENGTH_EPS = 1e-6;

/**
 * The gated delta rule (arXiv 2412.06464; transformers, modeling_qwen3_5.py, torch_recurrent_gated_delta_rule):
 * `x [sequences, past + runTokens, convolved + 2 numValueHeads]` (convolved queries, keys and values, then two numbers of
 * each value head) → `y [T, numValueHeads, headDim]`. `decay_rate`, `decay_bias`: `[numValueHeads]`. On devices with slow
 * barriers one invocation computes a whole column of the state.
 */
export function deltaRuleKernel(device: Device, net: DeltaNet): Kernel<DeltaSize> {
  const { numKeyHeads, numValueHeads, headDim, valueHeads } = net;
  const { convolved } = deltaWidths(net);
  const parts = device.variant.lanes === 1 ? 1 : (headDim / 4) % PARTS === 0 ? PARTS : PARTS / 2;
  return {
    name: 'delta-rule',
    sources: [deltaRuleSource],
    constants: {
      ...{ WORKGROUP: COLUMNS * parts, COLUMNS, PARTS: parts, PART4: headDim / 4 / parts, HEAD_DIM: headDim },
      ...{ NUM_KEY_HEADS: numKeyHeads, NUM_VALUE_HEADS: numValueHeads, TILED: valueHeads === 'tiled' },
      ...{ ROW4: broughtFloats(net) / 4, GATES_AT4: convolved / 4 },
      ...{ LENGTH_EPS: { f32: LENGTH_EPS }, SCALE: { f32: 1 / Math.sqrt(headDim) } },
    },
    bindings: [
      reads('batch_table', 'vec4u'),
      reads('places', 'vec4u'),
      reads('x', 'vec4f'),
      reads('decay_rate', 'f32'),
      reads('decay_bias', 'f32'),
      writes('state', 'vec4f'),
      writes('y', 'f32'),
    ],
    params: { runTokens: 'u32', past: 'u32' },
    groups: ({ tokens, runTokens }) => [headDim / COLUMNS, numValueHeads, tokens / runTokens],
  };
}

/** `y [T, numValueHeads, headDim]`, each head RMS-normed, weighted and multiplied by SiLU of the gates in `x [T, projected]`, in place. */
export function gatedNormKernel(device: Device, net: DeltaNet, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  const { numValueHeads, headDim } = net;
  const { convolved, projected } = deltaWidths(net);
  return {
    name: 'gated-norm',
    sources: [reduce, part('activation/silu'), gatedNormSource],
    constants: {
      ...constants,
      NUM_HEADS: numValueHeads,
      HEAD4: headDim / 4,
      ROW4: projected / 4,
      GATE4: convolved / 4,
      NORM_EPS: { f32: eps },
    },
    bindings: [reads('x', 'vec4f'), reads('norm_weight', 'vec4f'), writes('y', 'vec4f')],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil((tokens * numValueHeads) / rowsPerGroup)],
  };
}
