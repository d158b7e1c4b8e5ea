import joinNormsSource from '../../shaders/draft/join-norms.wgsl?raw';
import keepStatesSource from '../../shaders/draft/keep-states.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import { folded, type Kernel, reads, writes } from '../gpu/kernel.ts';
import { reduction } from './kernel-variants.ts';

/**
 * Input of a draft head (llama.cpp, src/models/qwen35.cpp, graph_mtp): each token's embedding in `x [T, width]` and the
 * hidden state before its position in `states [positions, width]`, each RMS-normed and weighted → `y [T, 2 width]`.
 */
export function joinNormsKernel(device: Device, width: number, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'join-norms',
    sources: [reduce, joinNormsSource],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps } },
    bindings: [
      reads('batch_table', 'vec4u'),
      reads('x', 'vec4f'),
      reads('states', 'vec4f'),
      reads('token_weight', 'vec4f'),
      reads('state_weight', 'vec4f'),
      writes('y', 'vec4f'),
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => folded(Math.ceil((2 * tokens) / rowsPerGroup)),
  };
}

/**
 * Hidden states `x [T, width]`, RMS-normed and weighted → `states [positions, width]`, each in the row after its token's
 * position. `first [2]`: the first row to write, and the first page-table entry of the sequence whose states are kept.
 */
export function keepStatesKernel(device: Device, width: number, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'keep-states',
    sources: [reduce, keepStatesSource],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps } },
    bindings: [
      reads('batch_table', 'vec4u'),
      reads('x', 'vec4f'),
      reads('norm_weight', 'vec4f'),
      reads('first', 'u32'),
      writes('states', 'vec4f'),
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => folded(Math.ceil(tokens / rowsPerGroup)),
  };
}
