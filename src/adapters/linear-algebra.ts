/** x · y, in four sums, so that additions do not wait for one another. */
export function dot(x: Float64Array, y: Float64Array): number {
  const end = x.length - (x.length % 4);
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  for (let i = 0; i < end; i += 4) {
    sum0 += x[i]! * y[i]!;
    sum1 += x[i + 1]! * y[i + 1]!;
    sum2 += x[i + 2]! * y[i + 2]!;
    sum3 += x[i + 3]! * y[i + 3]!;
  }
  for (let i = end; i < x.length; i++) sum0 += x[i]! * y[i]!;
  return sum0 + sum1 + (sum2 + sum3);
}

/** y += factor · x */
export function addScaled(y: Float64Array, x: Float64Array, factor: number): void {
  for (let i = 0; i < y.length; i++) y[i]! += factor * x[i]!;
}

/** `weights [rows, n]` · `vectors [n, length]`, four vectors at a time, since memory is the bottleneck. */
export function combine(weights: readonly Float64Array[], vectors: readonly Float64Array[]): Float64Array[] {
  const length = vectors[0]?.length ?? 0;
  const whole = vectors.length - (vectors.length % 4);
  return weights.map((weight) => {
    const sum = new Float64Array(length);
    for (let k = 0; k < whole; k += 4) addFour(sum, weight.subarray(k, k + 4), vectors.slice(k, k + 4));
    for (let k = whole; k < vectors.length; k++) addScaled(sum, vectors[k]!, weight[k]!);
    return sum;
  });
}

function addFour(sum: Float64Array, weights: Float64Array, vectors: readonly Float64Array[]): void {
  const [v0, v1, v2, v3] = vectors as [Float64Array, Float64Array, Float64Array, Float64Array];
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = weights;
  for (let i = 0; i < sum.length; i++) sum[i]! += w0 * v0[i]! + w1 * v1[i]! + (w2 * v2[i]! + w3 * v3[i]!);
}

/** Views of the rows of a `[rows, length]` matrix. */
export function rowsOf(matrix: Float64Array, rows: number): Float64Array[] {
  const length = matrix.length / rows;
  return Array.from({ length: rows }, (_, i) => matrix.subarray(i * length, (i + 1) * length));
}

/** `rows [r, length]` = lower `[r, rank]` · orthonormal `[rank, length]`. */
interface Factorization {
  rank: number;
  /** Row by row. */
  lower: Float64Array[];
  orthonormal: Float64Array[];
}

/** Rows shorter than this, relative to the longest, count as rounding errors. */
export const TOLERANCE = 1e-9;

/**
 * Orthonormalizes rows by modified Gram-Schmidt with pivoting, until the rest is negligible. Overwrites `rows`.
 * (Golub and Van Loan, Matrix Computations, 5.2.8 and 5.4.2, for rows.)
 */
export function orthonormalizeRows(rows: readonly Float64Array[]): Factorization {
  const left = new Set(rows.keys());
  // Remaining squared norms: accurate enough to choose pivots, not to divide by.
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

/** A matrix `[rows, columns]` = Σ_i left[i] ⊗ right[i]; the right vectors are orthogonal with the singular values as norms. */
interface SmallSvd {
  /** Descending. */
  singularValues: Float64Array;
  /** `rows` orthonormal vectors of `rows` elements. */
  left: Float64Array[];
  /** `rows` vectors of `columns` elements. */
  right: Float64Array[];
}

const MAX_SWEEPS = 40;
/** Largest cosine of rows that count as orthogonal. The product is exact in any case. */
const ORTHOGONAL = 1e-10;

/**
 * SVD of a small matrix by one-sided Jacobi: rotates pairs of rows until they are orthogonal (Golub and Van Loan, Matrix
 * Computations, 8.6.3). Small singular values are as accurate as large ones. Overwrites `rows`.
 */
export function smallSvd(rows: Float64Array[]): SmallSvd {
  const left = rows.map((_, i) => new Float64Array(rows.length).fill(1, i, i + 1));
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    // Rotations update the squares only approximately, so every sweep recomputes them.
    const squares = Float64Array.from(rows, (row) => dot(row, row));
    let turned = false;
    for (let i = 0; i < rows.length - 1; i++) {
      for (let j = i + 1; j < rows.length; j++) {
        const product = dot(rows[i]!, rows[j]!);
        if (Math.abs(product) <= ORTHOGONAL * lengthOf(squares[i]!) * lengthOf(squares[j]!)) continue;
        turned = true;
        const tan = tangent(squares[i]!, squares[j]!, product);
        squares[i]! -= tan * product;
        squares[j]! += tan * product;
        turn(rows[i]!, rows[j]!, tan);
        turn(left[i]!, left[j]!, tan);
      }
    }
    if (!turned) break;
  }
  const lengths = rows.map((row) => Math.sqrt(dot(row, row)));
  const order = [...lengths.keys()].sort((i, j) => lengths[j]! - lengths[i]!);
  return {
    singularValues: Float64Array.from(order, (i) => lengths[i]!),
    left: order.map((i) => left[i]!),
    right: order.map((i) => rows[i]!),
  };
}

/** Rounding may make the square slightly negative. */
const lengthOf = (square: number): number => Math.sqrt(Math.max(0, square));

/** Tangent of the rotation that makes two rows orthogonal, from x · x, y · y and x · y. */
function tangent(xx: number, yy: number, xy: number): number {
  const zeta = (yy - xx) / (2 * xy);
  return (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
}

function turn(x: Float64Array, y: Float64Array, tan: number): void {
  const cos = 1 / Math.sqrt(1 + tan * tan);
  const sin = cos * tan;
  for (let k = 0; k < x.length; k++) {
    const xk = x[k]!;
    const yk = y[k]!;
    x[k] = cos * xk - sin * yk;
    y[k] = sin * xk + cos * yk;
  }
}
