import tileInputs from '../../../shaders/parts/tile-inputs.wgsl?raw';
import tileProduct from '../../../shaders/parts/tile-product.wgsl?raw';
import halves from '../../../shaders/slots/tile-weight/halves.wgsl?raw';
import whole from '../../../shaders/slots/tile-weight/whole.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';

/** Rows that a row of a workgroup's invocations computes at a time. */
const ROWS_AT_ONCE = 16;
const TOKENS_EACH = 4;

/** Tokens of a tile. */
export const tileTokens = (workgroup: number): number => (workgroup / ROWS_AT_ONCE) * TOKENS_EACH;

/**
 * What a kernel is made of that multiplies tiles in workgroup memory, beside its own text; for `x [T, columns]`.
 * `workgroup`: invocations, sixteen rows for each four tokens; `rows`: of a tile, a multiple of sixteen;
 * `areHalves`: of the weights, which take half the memory then.
 */
export function tileParts(workgroup: number, rows: number, areHalves = false): Pick<Kernel, 'sources' | 'constants'> {
  return { sources: [areHalves ? halves : whole, tileProduct, tileInputs], constants: { WORKGROUP: workgroup, ROWS_EACH: rows / ROWS_AT_ONCE } };
}
