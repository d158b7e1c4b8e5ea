import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { smallSvd } from './small-svd.ts';
import { addScaled, orthonormalizeRows } from './thin-qr.ts';

/**
 * A module's ΔW = B · A, refactored so that its first k components are its best approximation of rank k. The adapter's
 * own scale is in the factors, half in each.
 */
export interface RankLadder {
  rank: number;
  /** `[rank, inFeatures]`; rows above the numerical rank are zero. */
  a: Float32Array;
  /** `[outFeatures, rank]`; columns above the numerical rank are zero. */
  b: Float32Array;
  /** `[rank]`, descending; with `inputRms`, of ΔW · diag(inputRms). */
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
  const outFeatures = b.length / rank;
  const weights = inputRms && inputWeights(inputRms, inFeatures);
  const rowsOfA = Float64Array.from(a);
  if (weights) rowsOfA.forEach((value, i) => (rowsOfA[i] = value * weights[i % inFeatures]!));
  const qrA = orthonormalizeRows(rowsOfA, rank);
  const qrB = orthonormalizeRows(transposed(b, outFeatures, rank), rank);
  // scale · b · a = Q_Bᵀ · core · Q_A
  const svd = smallSvd(coreOf(qrB.lower, qrA.lower, rank, scale), qrB.rank, qrA.rank);
  const ladder: RankLadder = {
    rank,
    a: new Float32Array(a.length),
    b: new Float32Array(b.length),
    singularValues: new Float64Array(rank),
  };
  svd.singularValues.forEach((value, k) => {
    if (value <= (svd.singularValues[0] ?? 0) * Number.EPSILON) return;
    ladder.singularValues[k] = value;
    const root = Math.sqrt(value);
    const row = combine(svd.right[k]!, qrA.orthonormal, inFeatures, 1 / root);
    const column = combine(svd.left[k]!, qrB.orthonormal, outFeatures, root);
    for (let i = 0; i < inFeatures; i++) ladder.a[k * inFeatures + i] = row[i]! / (weights?.[i] ?? 1);
    for (let i = 0; i < outFeatures; i++) ladder.b[i * rank + k] = column[i]!;
  });
  return ladder;
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

/** scale · lowerBᵀ · lowerA, `[rank of B, rank of A]`. */
function coreOf(lowerB: Float64Array, lowerA: Float64Array, rank: number, scale: number): Float64Array {
  const rows = lowerB.length / rank;
  const columns = lowerA.length / rank;
  const core = new Float64Array(rows * columns);
  for (let k = 0; k < rank; k++) {
    const rowA = lowerA.subarray(k * columns, (k + 1) * columns);
    for (let i = 0; i < rows; i++) {
      addScaled(core.subarray(i * columns, (i + 1) * columns), rowA, scale * lowerB[k * rows + i]!);
    }
  }
  return core;
}

/** factor · Σ_i weights[i] · vectors[i] */
function combine(weights: Float64Array, vectors: Float64Array, length: number, factor: number): Float64Array {
  const sum = new Float64Array(length);
  weights.forEach((weight, i) => addScaled(sum, vectors.subarray(i * length, (i + 1) * length), weight * factor));
  return sum;
}

/** What of a module decides its ranks. */
export interface ModuleSpectrum {
  /** Descending. */
  singularValues: ArrayLike<number>;
  /** RMS of the module's input; 1 where the singular values are weighted by it already. */
  activationScale?: number;
}

/** The number of components whose importance, singular value times activation scale, reaches a threshold above 0. */
export function cutSpectrum({ singularValues, activationScale = 1 }: ModuleSpectrum, threshold: number): number {
  let rank = 0;
  while (rank < singularValues.length && singularValues[rank]! * activationScale >= threshold) rank++;
  return rank;
}

/**
 * The ranks of each level: `[level][module]`. A level's budget is the part of the adapter's delta that may be lost
 * (relative L2 over all modules); one threshold for all modules spends it on the least important components. Budgets
 * must be in [0, 1] and not grow from level to level, so that ranks are nested. Errors: `bad_request`.
 */
export function ladderRanks(modules: readonly ModuleSpectrum[], budgets: readonly number[]): number[][] {
  budgets.forEach((budget, i) => {
    if (budget >= 0 && budget <= (budgets[i - 1] ?? 1)) return;
    const reason = `must be in [0, 1] and not grow from level to level, not ${JSON.stringify(budgets)}`;
    throw new ChunkwiseError('bad_request', { field: 'budgets', reason });
  });
  const importances = modules
    .flatMap(({ singularValues, activationScale = 1 }) => Array.from(singularValues, (v) => v * activationScale))
    .filter((importance) => importance > 0)
    .sort((x, y) => x - y);
  return budgets.map((budget) => {
    const threshold = thresholdOf(importances, budget);
    return modules.map((module) => cutSpectrum(module, threshold));
  });
}

/** The least importance that is kept where `ascending` may lose `budget` of its L2 norm. */
function thresholdOf(ascending: readonly number[], budget: number): number {
  const total = ascending.reduce((sum, importance) => sum + importance ** 2, 0);
  let lost = 0;
  for (const importance of ascending) {
    lost += importance ** 2;
    if (lost > budget ** 2 * total) return importance;
  }
  return Infinity;
}
