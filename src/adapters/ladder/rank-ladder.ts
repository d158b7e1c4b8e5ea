import { smallSvd } from './small-svd.ts';
import { orthonormalizeRows, TOLERANCE } from './thin-qr.ts';
import { addScaled, combine, dot, rowsOf } from './vectors.ts';

/**
 * A module's ΔW = B · A, refactored so that its first k components are its best approximation of rank k. The adapter's
 * own scale is in the factors, half in each.
 */
export interface RankLadder {
  /** The numerical rank; the file's may be higher. */
  rank: number;
  /** `[rank, inFeatures]` */
  a: Float64Array[];
  /** `[rank, outFeatures]` */
  bTransposed: Float64Array[];
  /** `[rank]`, descending, above 0; with `inputRms`, of ΔW · diag(inputRms). */
  singularValues: Float64Array;
}

/** A channel counts as at least this much of the strongest, so that none is given up. */
const LEAST_RMS = 1e-6;

/**
 * Builds the ladder of `scale · b · a`, with `a [rank, inFeatures]` and `b [outFeatures, rank]`: QR of both thin
 * factors and an SVD of the core (Eckart and Young, 1936). With `inputRms [inFeatures]`, the module's input by channel,
 * "best" is in the norm of ΔW · diag(inputRms): the expected error of the output where channels are uncorrelated. The
 * whole product stays as it is.
 */
export function buildLadder(
  a: Float32Array,
  b: Float32Array,
  rank: number,
  scale: number,
  inputRms?: ArrayLike<number>,
): RankLadder {
  const inFeatures = a.length / rank;
  const weights = inputRms && inputWeights(inputRms, inFeatures);
  const rowsOfA = rowsOf(Float64Array.from(a), rank);
  for (const row of weights ? rowsOfA : []) row.forEach((value, i) => (row[i] = value * weights![i]!));
  const columnsOfB = rowsOf(transposed(b, b.length / rank, rank), rank);
  balance(rowsOfA, columnsOfB);
  const qrA = orthonormalizeRows(rowsOfA);
  const qrB = orthonormalizeRows(columnsOfB);
  // b · a = Q_Bᵀ · core · Q_A; the scale, whatever its size, comes last.
  const { singularValues, left, right } = smallSvd(coreOf(qrB.lower, qrA.lower, qrB.rank, qrA.rank));
  const largest = singularValues[0] ?? 0;
  const size = Math.abs(scale);
  const actual = singularValues.filter((value) => value > largest * TOLERANCE && value * size > 0).length;
  const values = singularValues.slice(0, actual);
  const rows = combine(right.slice(0, actual), qrA.orthonormal);
  const columns = combine(left.slice(0, actual), qrB.orthonormal);
  values.forEach((value, k) => {
    const root = Math.sqrt(value) * Math.sqrt(size);
    const row = rows[k]!;
    for (let i = 0; i < row.length; i++) row[i]! *= root / value / (weights?.[i] ?? 1);
    const column = columns[k]!;
    for (let i = 0; i < column.length; i++) column[i]! *= root * Math.sign(scale);
  });
  return { rank: actual, a: rows, bTransposed: columns, singularValues: values.map((value) => value * size) };
}

/** `rms` with a floor; all equal where the input was zero throughout. */
function inputWeights(rms: ArrayLike<number>, inFeatures: number): Float64Array {
  const weights = Float64Array.from(rms);
  if (weights.length !== inFeatures || !weights.every((value) => value >= 0 && value < Infinity)) {
    throw new Error(`input RMS: ${weights.length} values for ${inFeatures} channels, or not all finite`);
  }
  const floor = LEAST_RMS * weights.reduce((max, value) => Math.max(max, value), 0);
  return floor === 0 ? weights.fill(1) : weights.map((value) => Math.max(value, floor));
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(matrix.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j]!;
  }
  return result;
}

/** Makes both halves of a component about as long, or a small one with a large other would be taken for an error. */
function balance(rowsOfA: readonly Float64Array[], columnsOfB: readonly Float64Array[]): void {
  rowsOfA.forEach((row, k) => {
    const column = columnsOfB[k]!;
    const ratio = Math.sqrt(dot(column, column) / dot(row, row));
    if (!(ratio > 0 && ratio < Infinity)) return; // one of them is zero
    const factor = 2 ** Math.round(Math.log2(ratio) / 2);
    for (let i = 0; i < row.length; i++) row[i]! *= factor;
    for (let i = 0; i < column.length; i++) column[i]! /= factor;
  });
}

/** lowerBᵀ · lowerA, `[rank of B, rank of A]`. */
function coreOf(
  lowerB: readonly Float64Array[],
  lowerA: readonly Float64Array[],
  rows: number,
  columns: number,
): Float64Array[] {
  const core = Array.from({ length: rows }, () => new Float64Array(columns));
  lowerB.forEach((weights, k) => {
    for (let i = 0; i < rows; i++) if (weights[i] !== 0) addScaled(core[i]!, lowerA[k]!, weights[i]!);
  });
  return core;
}
