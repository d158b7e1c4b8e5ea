import tileInputs from '../../../shaders/parts/tile-inputs.wgsl?raw';
import tileProduct from '../../../shaders/parts/tile-product.wgsl?raw';
import floats from '../../../shaders/slots/tile-weight/floats.wgsl?raw';
import halves from '../../../shaders/slots/tile-weight/halves.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { halfPrecision } from '../slot-choices.ts';

/** Rows that a row of a workgroup's invocations computes at a time. */
const ROWS_AT_ONCE = 16;
const TOKENS_EACH = 4;

export interface TileShape {
  /** Invocations: sixteen rows for each four tokens. */
  workgroup: number;
  /** Multiple of sixteen. */
  rows: number;
  /** Weights are kept as f16. */
  inHalves: boolean;
}

/** Tokens of a tile. */
export const tileTokens = (workgroup: number): number => (workgroup / ROWS_AT_ONCE) * TOKENS_EACH;

/** What a kernel is made of that multiplies tiles in workgroup memory, beside its own text; for `x [T, columns]`. */
export function tileParts(device: Device, { workgroup, rows, inHalves }: TileShape): Required<Pick<Kernel, 'sources' | 'enables' | 'constants'>> {
  const half = halfPrecision(device);
  return {
    sources: [...(inHalves ? [half.source, halves] : [floats]), tileProduct, tileInputs],
    enables: inHalves ? (half.enables ?? []) : [],
    constants: { WORKGROUP: workgroup, ROWS_EACH: rows / ROWS_AT_ONCE },
  };
}
