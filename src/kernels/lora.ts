import deltaSource from '../../shaders/lora/lora-delta.wgsl?raw';
import prefillSource from '../../shaders/lora/lora-prefill.wgsl?raw';
import tiledSource from '../../shaders/lora/lora-tiled.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import { type Kernel, reads, writes } from '../gpu/kernel.ts';
import { inputLoading, loraLow, reduction } from './kernel-variants.ts';
import { TILE_TOKENS, tileParts, tileTokens } from './linear-prefill.ts';
import { type LoraSite, loraParts } from './lora-layout.ts';
import { part } from './shader-library.ts';

export interface LoraDeltaOptions {
  /** Width of the residual stream. */
  width: number;
  /** The linear before, whose B · h is added; none before the first layer. */
  adds?: LoraSite;
  /** Factor of B · h, as the linear multiplies its own product; default 1. */
  scale?: number;
  /** The linears after, whose A · y is computed. */
  lowers: LoraSite;
}

/**
 * `x [T, width]` → `y [T, width]` = x + scale · B · h, and h' = A · (y · norm_weight) into `low_next`. Params: see
 * lora-layout.ts. WRITING of its workgroups write y; `lowering` workgroups among them compute h'.
 */
export function loraDeltaKernel(
  device: Device,
  { width, adds, scale = 1, lowers }: LoraDeltaOptions,
): Kernel<{ lowering: number; tokens: number }> {
  const reduce = reduction(device);
  const loading = inputLoading(device);
  const lora = loraParts({ adds, lowers });
  const low = loraLow(device);
  const writing = adds ? Math.ceil(width / 4 / reduce.workgroup) : 0;
  return {
    name: 'lora-delta',
    sources: [
      ...(device.variant.lanes > 1 ? [reduce.source] : [part('block'), loading.input]),
      ...lora.sources,
      part(adds ? 'lora-add/low' : 'lora-add/none'),
      ...low.sources,
      deltaSource,
    ],
    enables: loading.enables,
    constants: {
      ...reduce.constants,
      ...lora.constants,
      ...low.constants,
      BLOCKS: width / 32,
      WRITING: writing,
      SCALE: { f32: scale },
    },
    bindings: [reads('x', 'vec4f'), reads('norm_weight', 'vec4f'), writes('y', 'vec4f'), ...lora.bindings],
    params: lora.params,
    groups: ({ lowering, tokens }) => [writing + lowering, tokens],
  };
}

export interface LoraPrefillSize {
  runs: number;
  tokens: number;
  adapters: number;
}

/** Invocations of a lora-prefill workgroup. Each computes up to two components: a workgroup the sixteen of a common rank. */
const WORKGROUP = 8;
/** Components of one linear that a workgroup computes: a run. */
const COMPONENTS = 2 * WORKGROUP;

/** Runs of components that cover `rank`. */
export const loraPrefillRuns = (rank: number): number => Math.ceil(rank / COMPONENTS);

/** h = A · x of many tokens: `x [T, columns]` → `low_next`, for the linears of `lowers`. Params: see lora-layout.ts. */
export function loweringKernel(device: Device, columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  return device.variant.tileRows > 0 ? loraTiledKernel(columns, lowers) : loraPrefillKernel(device, columns, lowers);
}

function loraPrefillKernel(device: Device, columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  const loading = inputLoading(device);
  const lora = loraParts({ lowers });
  return {
    name: 'lora-prefill',
    sources: [part('block'), loading.input, ...lora.sources, prefillSource],
    enables: loading.enables,
    constants: { ...lora.constants, WORKGROUP, BLOCKS: columns / 32 },
    bindings: [reads('x', 'vec4f'), ...lora.bindings],
    params: lora.params,
    groups: ({ runs, tokens, adapters }) => [lowers.widths.length * runs, Math.ceil(tokens / TILE_TOKENS), adapters],
  };
}

/** Invocations of a lora-tiled workgroup: small tiles of 32 tokens, since there are few components. */
const TILED_WORKGROUP = 128;

function loraTiledKernel(columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  const tile = tileParts(TILED_WORKGROUP, COMPONENTS * lowers.widths.length, 'f16');
  const lora = loraParts({ lowers });
  return {
    name: 'lora-tiled',
    sources: [...tile.sources, ...lora.sources, tiledSource],
    constants: { ...lora.constants, ...tile.constants, BLOCKS: columns / 32 },
    bindings: [reads('x', 'vec4f'), ...lora.bindings],
    params: lora.params,
    groups: ({ runs, tokens, adapters }) => [runs, Math.ceil(tokens / tileTokens(TILED_WORKGROUP)), adapters],
  };
}
