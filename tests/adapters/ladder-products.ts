import type { AdapterModule } from '../../src/adapters/adapter-file.ts';
import type { LadderModule } from '../../src/adapters/rank-ladder.ts';
import { halfToFloat } from '../reference/half.ts';
import { denseSingularValues } from './dense-svd.ts';

/** scale · B · A `[out, in]` in f64. */
export function deltaOf({ a, b, rank, scale, inFeatures, outFeatures }: AdapterModule): Float64Array {
  const delta = new Float64Array(outFeatures * inFeatures);
  for (let c = 0; c < rank; c++) {
    const column = Float64Array.from({ length: outFeatures }, (_, i) => -scale * b[i * rank + c]!);
    subtract(delta, column, Float64Array.from(a.subarray(c * inFeatures, (c + 1) * inFeatures)));
  }
  return delta;
}

/**
 * ‖ΔW − B · A of the first k components‖² for k = 0, …, the ladder's rank, with factors in binary16 and weighted
 * input channels.
 */
export function squaredErrors(module: AdapterModule, ladder: LadderModule, weights?: Float32Array): number[] {
  const { rank, inFeatures, outFeatures, a, bTransposed } = ladder;
  const left = deltaOf(module);
  const errors = [squareOf(left, weights)];
  for (let k = 0; k < rank; k++) {
    const column = Float64Array.from(bTransposed.subarray(k * outFeatures, (k + 1) * outFeatures), halfToFloat);
    subtract(left, column, Float64Array.from(a.subarray(k * inFeatures, (k + 1) * inFeatures), halfToFloat));
    errors.push(squareOf(left, weights));
  }
  return errors;
}

/** delta −= column ⊗ row */
function subtract(delta: Float64Array, column: Float64Array, row: Float64Array): void {
  column.forEach((factor, i) => {
    for (let j = 0, at = i * row.length; j < row.length; j++, at++) delta[at]! -= factor * row[j]!;
  });
}

function squareOf(delta: Float64Array, weights?: Float32Array): number {
  let sum = 0;
  if (!weights) for (let i = 0; i < delta.length; i++) sum += delta[i]! ** 2;
  else for (let i = 0; i < delta.length; i++) sum += (delta[i]! * weights[i % weights.length]!) ** 2;
  return sum;
}

/**
 * Singular values of a module's ΔW · diag(weights), by another method than the ladder's: with the factors' Gram matrices
 * as L · Lᵀ (Cholesky), they equal the singular values of L_Bᵀ · L_A.
 */
export function optimumOf(module: AdapterModule, weights?: Float32Array): number[] {
  const { a, b, rank, scale, inFeatures, outFeatures } = module;
  const lowerA = cholesky(gram(rank, inFeatures, (k, i) => a[k * inFeatures + i]! * (weights?.[i] ?? 1)));
  const lowerB = cholesky(gram(rank, outFeatures, (k, i) => scale * b[i * rank + k]!));
  const core = new Float64Array(rank * rank);
  for (let i = 0; i < rank; i++) {
    for (let j = 0; j < rank; j++) {
      for (let k = 0; k < rank; k++) core[i * rank + j]! += lowerB[k]![i]! * lowerA[k]![j]!;
    }
  }
  return denseSingularValues(core, rank, rank);
}

function gram(rank: number, length: number, at: (k: number, i: number) => number): number[][] {
  return Array.from({ length: rank }, (_, k) =>
    Array.from({ length: rank }, (__, l) => {
      let sum = 0;
      for (let i = 0; i < length; i++) sum += at(k, i) * at(l, i);
      return sum;
    }),
  );
}

function cholesky(matrix: number[][]): number[][] {
  const lower = matrix.map((row) => row.map(() => 0));
  matrix.forEach((row, i) => {
    for (let j = 0; j <= i; j++) {
      let rest = row[j]!;
      for (let k = 0; k < j; k++) rest -= lower[i]![k]! * lower[j]![k]!;
      lower[i]![j] = i === j ? Math.sqrt(rest) : rest / lower[j]![j]!;
    }
  });
  return lower;
}
