import source from '../../../shaders/delta-net/causal-conv.wgsl?raw';
import { broughtFloats, deltaStateFloats, deltaWidths, stateBytes } from '../../config/delta-net.ts';
import type { DeltaNet } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { ACTIVATIONS } from '../slot-choices.ts';

/** What a dispatch has to do: of each text `runTokens` consecutive tokens, and before them up to `behind` of those it has come to behind its state. */
export interface DeltaSize {
  tokens: number;
  runTokens: number;
  behind: number;
}

/**
 * `x [T, projected]` → `y [texts, behind + runTokens, convolved + 2 numValueHeads]`: of the first columns a causal convolution with
 * `taps [count, convolved]`, the latest token's first, and SiLU (transformers, modeling_qwen3_5.py, causal_conv1d_fn); the last ones as
 * they are. `places`: of each stream the states that it reads and leaves; see `TextStates.show`.
 */
export function causalConvKernel(device: Device, net: DeltaNet): Kernel<DeltaSize> {
  const { workgroup } = device.variant;
  const { convolved, projected, values } = deltaWidths(net);
  return {
    name: 'causal-conv',
    sources: [ACTIVATIONS.silu, source],
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
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'places', type: 'array<vec4u>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'taps', type: 'array<vec4f>', access: 'read' },
      { name: 'state', type: 'array<vec4f>', access: 'read_write' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { runTokens: 'u32', behind: 'u32' },
    groups: ({ tokens, runTokens, behind }) => [
      Math.ceil(broughtFloats(net) / 4 / workgroup),
      (tokens / runTokens) * (behind + runTokens),
    ],
  };
}
