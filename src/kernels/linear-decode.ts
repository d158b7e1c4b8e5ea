import source from '../../shaders/linear-decode.wgsl?raw';
import bias from '../../shaders/libraries/bias.wgsl?raw';
import noBias from '../../shaders/libraries/no-bias.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Binding, Kernel } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { inputLoading, reduction } from './variants.ts';
import { weightReader } from './weight-formats.ts';

export interface LinearDecodeOptions {
  type: GgmlType;
  columns: number;
  /** RMS-norm the input on the way, with this epsilon. */
  normEps?: number;
  /** Rows are gate, then up: the output is silu(gate) · up, half as long. */
  gated?: boolean;
  /** Add to what the output holds. */
  accumulate?: boolean;
  hasBias?: boolean;
}

/** `x [columns]` → `y [rows]`, of one token. Params: the slice's first output row, its rows,
 * and what the product is multiplied by before the bias. */
export function linearDecodeKernel(device: Device, options: LinearDecodeOptions): Kernel {
  const { type, columns, normEps, gated = false, accumulate = false, hasBias = false } = options;
  const reader = weightReader(device, type, columns);
  const reduce = reduction(device);
  const loading = inputLoading(device);
  const normed = normEps !== undefined;
  const f32s = (name: string): Binding => ({ name, type: 'array<f32>', access: 'read' });
  // WGSL resolves every name, used or not: without a norm, `norm_weight` is the input itself.
  const norm: Binding = { name: 'norm_weight', type: 'array<vec4f>', access: 'read' };
  return {
    name: 'linear-decode',
    sources: [...reader.sources, reduce.source, loading.input, loading.squares, hasBias ? bias : noBias, source],
    enables: [...reader.enables, ...(reduce.enables ?? []), ...(loading.enables ?? [])],
    constants: {
      ...reader.constants,
      ...reduce.constants,
      NORMED: normed,
      NORM_EPS: { f32: normEps ?? 0 },
      GATED: gated,
      ACCUMULATE: accumulate,
    },
    bindings: [
      ...reader.bindings,
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      norm,
      ...(hasBias ? [f32s('bias_values')] : []),
      { name: 'y', type: 'array<f32>', access: 'read_write' },
    ],
    params: { rowStart: 'u32', rows: 'u32', scale: 'f32' },
  };
}

/** `outputs`: rows of the slice, or half of them when gated. */
export const linearDecodeGroups = (device: Device, outputs: number): [number] => [
  Math.ceil(outputs / 4 / reduction(device).rowsPerGroup),
];
