import { addScaled, dot } from './vectors.ts';

/** `rows [r, length]` = lower `[r, rank]` · orthonormal `[rank, length]`. */
export interface Factorization {
  rank: number;
  /** Row by row. */
  lower: Float64Array[];
  orthonormal: Float64Array[];
}

/** Rows shorter than this, beside the longest, are rounding errors. */
export const TOLERANCE = 1e-9;

/**
 * Orthonormalizes rows by modified Gram-Schmidt, the longest first, and stops where nothing is left. Overwrites `rows`.
 * (Golub and Van Loan, Matrix Computations, 5.2.8 and 5.4.2, for rows.)
 */
export function orthonormalizeRows(rows: readonly Float64Array[]): Factorization {
  const left = new Set(rows.keys());
  // What is left of them: good enough to choose by, too rough to divide by.
  const squares = rows.map((row) => dot(row, row));
  const longest = Math.sqrt(Math.max(0, ...squares));
  const orthonormal: Float64Array[] = [];
  const lower = rows.map(() => new Float64Array(rows.length));
  while (left.size > 0) {
    const pivot = longestOf(squares, left);
    const unit = rows[pivot]!;
    const norm = Math.sqrt(dot(unit, unit));
    if (norm <= longest * TOLERANCE) break;
    left.delete(pivot);
    for (let i = 0; i < unit.length; i++) unit[i]! /= norm;
    const column = orthonormal.push(unit) - 1;
    lower[pivot]![column] = norm;
    for (const other of left) {
      const along = dot(rows[other]!, unit);
      lower[other]![column] = along;
      addScaled(rows[other]!, unit, -along);
      squares[other]! -= along * along;
    }
  }
  const rank = orthonormal.length;
  return { rank, lower: lower.map((row) => row.subarray(0, rank)), orthonormal };
}

function longestOf(squares: readonly number[], among: ReadonlySet<number>): number {
  let best = -1;
  for (const i of among) if (best < 0 || squares[i]! > squares[best]!) best = i;
  return best;
}
