import source from '../../shaders/linear-prefill.wgsl?raw';
import bias from '../../shaders/slots/bias/vector.wgsl?raw';
import loraTile from '../../shaders/slots/lora-tile/columns.wgsl?raw';
import loraTileNone from '../../shaders/slots/lora-tile/none.wgsl?raw';
import noBias from '../../shaders/slots/bias/none.wgsl?raw';
import weightBlock from '../../shaders/parts/weights/weight-block.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { type LoraSite, loraParts } from './lora-layout.ts';
import { inputLoading } from './slot-choices.ts';
import { weightReader } from './formats/weight-formats.ts';

export interface LinearPrefillOptions {
  type: GgmlType;
  columns: number;
  /** Add to what the output holds. */
  accumulate?: boolean;
  hasBias?: boolean;
  /** Add adapters' B · h to the outputs. */
  adds?: LoraSite;
}

/** Rows and tokens that one invocation computes. */
const TILE_ROWS = 8;
export const TILE_TOKENS = 8;

/**
 * `x [T, columns]` → `y [T, outputWidth]`, T rounded up to a multiple of TILE_TOKENS. Params: the slice's first output
 * row, its rows, what the product is multiplied by before the bias, and the width of y.
 */
export function linearPrefillKernel(
  device: Device,
  options: LinearPrefillOptions,
): Kernel<{ rows: number; tokens: number }> {
  const { prefillWorkgroup } = device.variant;
  const { type, columns, accumulate = false, hasBias = false, adds } = options;
  const reader = weightReader(device, type, columns);
  const loading = inputLoading(device);
  const lora = loraParts({ adds });
  return {
    name: 'linear-prefill',
    sources: [
      ...[...reader.sources, weightBlock, loading.input, hasBias ? bias : noBias, ...lora.sources],
      ...(adds ? [loading.low, loraTile] : [loraTileNone]),
      source,
    ],
    enables: [...reader.enables, ...(loading.enables ?? [])],
    constants: {
      ...reader.constants,
      ...lora.constants,
      WORKGROUP: prefillWorkgroup,
      ACCUMULATE: accumulate,
    },
    bindings: [
      ...reader.bindings,
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      ...(hasBias ? [{ name: 'bias_values', type: 'array<f32>', access: 'read' as const }] : []),
      { name: 'y', type: 'array<f32>', access: 'read_write' },
      ...lora.bindings,
    ],
    params: { ...{ rowStart: 'u32', rows: 'u32', scale: 'f32', outputWidth: 'u32' }, ...lora.params },
    groups: ({ rows, tokens }) => [Math.ceil(rows / TILE_ROWS / prefillWorkgroup), Math.ceil(tokens / TILE_TOKENS)],
  };
}
