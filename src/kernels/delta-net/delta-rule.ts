import source from '../../../shaders/delta-net/delta-rule.wgsl?raw';
import { broughtFloats, deltaWidths } from '../../config/delta-net.ts';
import type { DeltaNet } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import type { DeltaSize } from './causal-conv.ts';

/** Values of a head that a workgroup computes; head sizes are multiples of it. */
const COLUMNS = 16;
/** Invocations that share a column of the state: of a head of 128 each has 16 of its rows. Of a head whose size they do not divide, half as many. */
const PARTS = 8;
/** Of the lengths of queries and keys (transformers, modeling_qwen3_5.py, l2norm). */
const LENGTH_EPS = 1e-6;

/**
 * `x [texts, behind + runTokens, convolved + 2 numValueHeads]` (queries, keys and values behind their convolution, and both numbers of
 * each value head) → `y [T, numValueHeads, headDim]`: the gated delta rule (arXiv 2412.06464; transformers, modeling_qwen3_5.py,
 * torch_recurrent_gated_delta_rule). `decay_rate`, `decay_bias`: `[numValueHeads]`. Where barriers are slow an invocation has a
 * whole column.
 */
export function deltaRuleKernel(device: Device, net: DeltaNet): Kernel<DeltaSize> {
  const { numKeyHeads, numValueHeads, headDim, valueHeads } = net;
  const { convolved } = deltaWidths(net);
  const parts = device.variant.lanes === 1 ? 1 : (headDim / 4) % PARTS === 0 ? PARTS : PARTS / 2;
  return {
    name: 'delta-rule',
    sources: [source],
    constants: {
      ...{ WORKGROUP: COLUMNS * parts, COLUMNS, PARTS: parts, PART4: headDim / 4 / parts, HEAD_DIM: headDim },
      ...{ NUM_KEY_HEADS: numKeyHeads, NUM_VALUE_HEADS: numValueHeads, TILED: valueHeads === 'tiled' },
      ...{ ROW4: broughtFloats(net) / 4, GATES_AT4: convolved / 4 },
      ...{ LENGTH_EPS: { f32: LENGTH_EPS }, SCALE: { f32: 1 / Math.sqrt(headDim) } },
    },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'places', type: 'array<vec4u>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'decay_rate', type: 'array<f32>', access: 'read' },
      { name: 'decay_bias', type: 'array<f32>', access: 'read' },
      { name: 'state', type: 'array<vec4f>', access: 'read_write' },
      { name: 'y', type: 'array<f32>', access: 'read_write' },
    ],
    params: { runTokens: 'u32', behind: 'u32' },
    groups: ({ tokens, runTokens }) => [headDim / COLUMNS, numValueHeads, tokens / runTokens],
  };
}
