import source from '../../shaders/lora-prefill.wgsl?raw';
import block from '../../shaders/parts/block.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { TILE_TOKENS } from './linear-prefill.ts';
import { type LoraSite, loraParts } from './lora-layout.ts';
import { inputLoading } from './slot-choices.ts';

/** Each invocation takes up to two components: a workgroup the sixteen of a common rank. */
const WORKGROUP = 8;
/** Of a linear, in a workgroup: a run. */
export const COMPONENTS = 2 * WORKGROUP;

export interface LoraPrefillSize {
  runs: number;
  tokens: number;
  adapters: number;
}

/** `x [T, columns]` → h = A · x into `low_next`, for the linears of `lowers`. Params: those of lora-layout.ts. */
export function loraPrefillKernel(device: Device, columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  const loading = inputLoading(device);
  const lora = loraParts({ lowers });
  return {
    name: 'lora-prefill',
    sources: [block, loading.input, ...lora.sources, source],
    enables: loading.enables,
    constants: { ...lora.constants, WORKGROUP, BLOCKS: columns / 32 },
    bindings: [{ name: 'x', type: 'array<vec4f>', access: 'read' }, ...lora.bindings],
    params: lora.params,
    groups: ({ runs, tokens, adapters }) => [lowers.widths.length * runs, Math.ceil(tokens / TILE_TOKENS), adapters],
  };
}

/** Runs of components that cover `rank`. */
export const loraPrefillRuns = (rank: number): number => Math.ceil(rank / COMPONENTS);
