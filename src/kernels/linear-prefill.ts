import source from '../../shaders/linear-prefill.wgsl?raw';
import bias from '../../shaders/libraries/bias.wgsl?raw';
import noBias from '../../shaders/libraries/no-bias.wgsl?raw';
import weightBlock from '../../shaders/libraries/weight-block.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { inputLoading, variantOf } from './variants.ts';
import { weightReader } from './weight-formats.ts';

export interface LinearPrefillOptions {
  type: GgmlType;
  columns: number;
  /** Width of a row of the output. */
  outputWidth: number;
  /** Add to what the output holds. */
  accumulate?: boolean;
  hasBias?: boolean;
}

/** Rows and tokens that one invocation computes. */
const TILE_ROWS = 4;
export const TILE_TOKENS = 8;

/** `x [T, columns]` → `y [T, outputWidth]`, T rounded up to a multiple of TILE_TOKENS. Params: the slice's first output row, its rows,
 * and what the product is multiplied by before the bias. */
export function linearPrefillKernel(device: Device, options: LinearPrefillOptions): Kernel {
  const { type, columns, outputWidth, accumulate = false, hasBias = false } = options;
  const reader = weightReader(device, type, columns);
  const loading = inputLoading(device);
  return {
    name: 'linear-prefill',
    sources: [...reader.sources, weightBlock, loading.input, hasBias ? bias : noBias, source],
    enables: [...reader.enables, ...(loading.enables ?? [])],
    constants: {
      ...reader.constants,
      WORKGROUP: variantOf(device).workgroup,
      OUTPUT_WIDTH: outputWidth,
      ACCUMULATE: accumulate,
    },
    bindings: [
      ...reader.bindings,
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      ...(hasBias ? [{ name: 'bias_values', type: 'array<f32>', access: 'read' as const }] : []),
      { name: 'y', type: 'array<f32>', access: 'read_write' },
    ],
    params: { rowStart: 'u32', rows: 'u32', scale: 'f32' },
  };
}

export const linearPrefillGroups = (device: Device, rows: number, tokens: number): [number, number] => [
  Math.ceil(rows / TILE_ROWS / variantOf(device).workgroup),
  Math.ceil(tokens / TILE_TOKENS),
];
