import tileInputs from '../../../shaders/parts/tile-inputs.wgsl?raw';
import tileProduct from '../../../shaders/parts/tile-product.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';

/** Rows that a row of a workgroup's invocations computes at a time. */
const ROWS_AT_ONCE = 16;
const TOKENS_EACH = 4;

/** Tokens of a tile. */
export const tileTokens = (workgroup: number): number => (workgroup / ROWS_AT_ONCE) * TOKENS_EACH;

/**
 * What a kernel is made of that multiplies tiles in workgroup memory, beside its own text; for `x [T, columns]`.
 * `workgroup`: invocations, sixteen rows for each four tokens; `rows`: of a tile, a multiple of sixteen.
 */
export function tileParts(workgroup: number, rows: number): Pick<Kernel, 'sources' | 'constants'> {
  return { sources: [tileProduct, tileInputs], constants: { WORKGROUP: workgroup, ROWS_EACH: rows / ROWS_AT_ONCE } };
}
