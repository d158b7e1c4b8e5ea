import source from '../../../shaders/delta-net/causal-conv.wgsl?raw';
import { deltaStateFloats, deltaWidths } from '../../config/delta-net.ts';
import type { DeltaNet } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { ACTIVATIONS } from '../slot-choices.ts';

/** What a dispatch has to do: of each text `runTokens` consecutive tokens. */
export interface DeltaSize {
  tokens: number;
  runTokens: number;
}

/**
 * The first columns of `x [T, projected]` → `y [T, convolved]`: a causal convolution with `taps [count, convolved]`, the latest
 * token's first, and SiLU (transformers, modeling_qwen3_5.py, causal_conv1d_fn). `places`: of each stream the states that it
 * reads and writes; see `TextStates.show`.
 */
export function causalConvKernel(device: Device, net: DeltaNet): Kernel<DeltaSize> {
  const { workgroup } = device.variant;
  const { convolved, projected } = deltaWidths(net);
  return {
    name: 'causal-conv',
    sources: [ACTIVATIONS.silu, source],
    constants: { WORKGROUP: workgroup, WIDTH4: convolved / 4, ROW4: projected / 4, TAPS: net.taps, STATE4: deltaStateFloats(net) / 4 },
    bindings: [
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'places', type: 'array<vec4u>', access: 'read' },
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'taps', type: 'array<vec4f>', access: 'read' },
      { name: 'state', type: 'array<vec4f>', access: 'read_write' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { runTokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil(convolved / 4 / workgroup), tokens],
  };
}
