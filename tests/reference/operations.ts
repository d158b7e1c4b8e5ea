import type { ModelConfig } from '../../src/config/model-config.ts';

/** The rows of a matrix in f64. */
export type Rows = readonly Float64Array[];

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

/** x `[T, columns]` · weight `[rows, columns]` → `[T, rows]` */
export function matmul(x: Rows, weight: Float32Array): Rows {
  const columns = x[0]?.length ?? 1;
  const rows = Array.from({ length: weight.length / columns }, (_, row) =>
    weight.subarray(row * columns, (row + 1) * columns),
  );
  return x.map((token) => Float64Array.from(rows, (row) => dot(token, row)));
}

export function add(a: Rows, b: Rows): Rows {
  return a.map((row, t) => addVector(row, b[t] ?? []));
}

export const scaled = (x: Rows, factor: number): Rows => x.map((row) => row.map((value) => value * factor));

export function addVector(row: Float64Array, vector: ArrayLike<number>): Float64Array {
  return row.map((value, i) => value + (vector[i] ?? 0));
}

/** RMS norm (arXiv 1910.07467) of each row. */
export function norm(x: Rows, weight: Float32Array, eps: number): Rows {
  return x.map((row) => {
    const scale = 1 / Math.sqrt(dot(row, row) / row.length + eps);
    return row.map((value, i) => value * scale * (weight[i] ?? 0));
  });
}

export function softmax(scores: Float64Array): Float64Array {
  const maximum = scores.reduce((a, b) => Math.max(a, b));
  const powers = scores.map((score) => Math.exp(score - maximum));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** The tanh approximation of GELU (arXiv 1606.08415). */
export const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

export const ACTIVATIONS: Record<ModelConfig['activation'], (x: number) => number> = { silu, gelu };
