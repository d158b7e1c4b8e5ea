/** `rows [r, length]` = lower `[r, rank]` · orthonormal `[rank, length]`, all row by row. */
export interface Factorization {
  rank: number;
  lower: Float64Array;
  orthonormal: Float64Array;
}

/** Rows shorter than this, beside the longest, are rounding errors of f32 factors. */
const TOLERANCE = 1e-9;

/**
 * Orthonormalises r rows by modified Gram-Schmidt, the longest first, and stops where nothing is left. Overwrites
 * `rows`. (Golub and Van Loan, Matrix Computations, 5.2.8 and 5.4.2, for rows.)
 */
export function orthonormalizeRows(rows: Float64Array, r: number): Factorization {
  const length = rows.length / r;
  const row = Array.from({ length: r }, (_, i) => rows.subarray(i * length, (i + 1) * length));
  const left = new Set(row.keys());
  const orthonormal = new Float64Array(rows.length);
  const lower = new Float64Array(r * r);
  let longest = 0;
  let rank = 0;
  for (; rank < r; rank++) {
    const pivot = longestOf(row, left);
    const norm = Math.sqrt(dot(row[pivot]!, row[pivot]!));
    longest = Math.max(longest, norm);
    if (norm <= longest * TOLERANCE) break;
    left.delete(pivot);
    const unit = orthonormal.subarray(rank * length, (rank + 1) * length);
    unit.set(row[pivot]!.map((value) => value / norm));
    lower[pivot * r + rank] = norm;
    for (const other of left) {
      const along = dot(row[other]!, unit);
      lower[other * r + rank] = along;
      addScaled(row[other]!, unit, -along);
    }
  }
  const packed = new Float64Array(r * rank);
  for (let i = 0; i < r; i++) packed.set(lower.subarray(i * r, i * r + rank), i * rank);
  return { rank, lower: packed, orthonormal };
}

function longestOf(row: readonly Float64Array[], among: ReadonlySet<number>): number {
  let best = 0;
  let bestSquare = -1;
  for (const i of among) {
    const square = dot(row[i]!, row[i]!);
    if (square <= bestSquare) continue;
    best = i;
    bestSquare = square;
  }
  return best;
}

export function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

/** y += factor · x */
export function addScaled(y: Float64Array, x: Float64Array, factor: number): void {
  for (let i = 0; i < y.length; i++) y[i]! += factor * x[i]!;
}
