import { dot } from './thin-qr.ts';

/** `matrix [rows, columns]` = Σ_i left[i] ⊗ right[i]; the right are orthogonal, as long as the singular values. */
export interface SmallSvd {
  singularValues: Float64Array;
  /** `rows` orthonormal vectors of `rows` elements. */
  left: Float64Array[];
  /** `rows` vectors of `columns` elements. */
  right: Float64Array[];
}

const MAX_SWEEPS = 40;
const TOLERANCE = 1e-14;

/**
 * Turns the rows of a small matrix pairwise until they are orthogonal (one-sided Jacobi; Golub and Van Loan, Matrix
 * Computations, 8.6.3). Small singular values come out as accurate as large ones.
 */
export function smallSvd(matrix: Float64Array, rows: number, columns: number): SmallSvd {
  const right = Array.from({ length: rows }, (_, i) => matrix.slice(i * columns, (i + 1) * columns));
  const left = Array.from({ length: rows }, (_, i) => new Float64Array(rows).fill(1, i, i + 1));
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let turned = false;
    for (let i = 0; i < rows - 1; i++) {
      for (let j = i + 1; j < rows; j++) {
        const angle = angleBetween(right[i]!, right[j]!);
        if (angle === undefined) continue;
        turned = true;
        turn(right[i]!, right[j]!, angle);
        turn(left[i]!, left[j]!, angle);
      }
    }
    if (!turned) break;
  }
  const lengths = right.map((row) => Math.sqrt(dot(row, row)));
  const order = [...lengths.keys()].sort((i, j) => lengths[j]! - lengths[i]!);
  return {
    singularValues: Float64Array.from(order, (i) => lengths[i]!),
    left: order.map((i) => left[i]!),
    right: order.map((i) => right[i]!),
  };
}

interface Angle {
  cos: number;
  sin: number;
}

/** The turn that makes two rows orthogonal, or undefined where they are. */
function angleBetween(x: Float64Array, y: Float64Array): Angle | undefined {
  const xx = dot(x, x);
  const yy = dot(y, y);
  const xy = dot(x, y);
  if (Math.abs(xy) <= TOLERANCE * Math.sqrt(xx) * Math.sqrt(yy)) return undefined;
  const zeta = (yy - xx) / (2 * xy);
  const tan = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const cos = 1 / Math.sqrt(1 + tan * tan);
  return { cos, sin: cos * tan };
}

function turn(x: Float64Array, y: Float64Array, { cos, sin }: Angle): void {
  for (let k = 0; k < x.length; k++) {
    const xk = x[k]!;
    const yk = y[k]!;
    x[k] = cos * xk - sin * yk;
    y[k] = sin * xk + cos * yk;
  }
}
