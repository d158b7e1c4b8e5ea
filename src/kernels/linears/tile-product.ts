import tileInputs from '../../../shaders/parts/tile-inputs.wgsl?raw';
import tileProduct from '../../../shaders/parts/tile-product.wgsl?raw';
import halves from '../../../shaders/slots/tile-weight/halves.wgsl?raw';
import whole from '../../../shaders/slots/tile-weight/whole.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';

/** Rows that a row of a workgroup's invocations computes at a time. */
const ROWS_AT_ONCE = 16;
const TOKENS_EACH = 4;
const WEIGHTS = { f32: whole, f16: halves };

/** Tokens of a tile. */
export const tileTokens = (workgroup: number): number => (workgroup / ROWS_AT_ONCE) * TOKENS_EACH;

/**
 * What a kernel is made of that multiplies tiles in workgroup memory, beside its own text; for `x [T, columns]`.
 * `workgroup`: invocations, sixteen rows for each four tokens; `rows`: of a tile, a multiple of sixteen; `weights`: their type
 * there.
 */
export function tileParts(
  workgroup: number,
  rows: number,
  weights: keyof typeof WEIGHTS,
): Pick<Kernel, 'sources' | 'constants'> {
  return {
    sources: [WEIGHTS[weights], tileProduct, tileInputs],
    constants: { WORKGROUP: workgroup, ROWS_EACH: rows / ROWS_AT_ONCE },
  };
}
