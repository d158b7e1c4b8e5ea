import source from '../../../shaders/draft/join-norms.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import { folded } from '../../gpu/grid.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { reduction } from '../slot-choices.ts';

/**
 * Of each token its embedding in `x [T, width]` and, at its position, the state before it in `states [positions, width]` → `y [T, 2 width]`,
 * each RMS-normed and weighted for itself: what a draft head begins with (llama.cpp, src/models/qwen35.cpp, graph_mtp).
 */
export function joinNormsKernel(device: Device, width: number, eps: number): Kernel<{ tokens: number }> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'join-norms',
    sources: [reduce, source],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps } },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'states', type: 'array<vec4f>', access: 'read' },
      { name: 'token_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'state_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => folded(Math.ceil((2 * tokens) / rowsPerGroup)),
  };
}
