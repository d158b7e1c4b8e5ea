import { dot } from './vectors.ts';

/** A matrix `[rows, columns]` = Σ_i left[i] ⊗ right[i]; the right are orthogonal, as long as the singular values. */
export interface SmallSvd {
  /** Descending. */
  singularValues: Float64Array;
  /** `rows` orthonormal vectors of `rows` elements. */
  left: Float64Array[];
  /** `rows` vectors of `columns` elements. */
  right: Float64Array[];
}

const MAX_SWEEPS = 40;
/** Cosine of rows that count as orthogonal. However far they are from it, the product stays what it was. */
const TOLERANCE = 1e-10;

/**
 * Turns the rows of a small matrix pairwise until they are orthogonal (one-sided Jacobi; Golub and Van Loan, Matrix
 * Computations, 8.6.3). Small singular values come out as accurate as large ones. Overwrites `rows`.
 */
export function smallSvd(rows: Float64Array[]): SmallSvd {
  const left = rows.map((_, i) => new Float64Array(rows.length).fill(1, i, i + 1));
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    // A turn says how squares change, but not exactly: every sweep begins with true ones.
    const squares = Float64Array.from(rows, (row) => dot(row, row));
    let turned = false;
    for (let i = 0; i < rows.length - 1; i++) {
      for (let j = i + 1; j < rows.length; j++) {
        const product = dot(rows[i]!, rows[j]!);
        if (Math.abs(product) <= TOLERANCE * length(squares[i]!) * length(squares[j]!)) continue;
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

/** Rounding may leave a little less than nothing. */
const length = (square: number): number => Math.sqrt(Math.max(0, square));

/** Of the turn that makes two rows orthogonal, from x · x, y · y and x · y. */
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
