import type { Activation } from '../../config/model-config.ts';

/** What kernels compute, for checks to hold them against. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function rmsNormed(x: Float32Array, weight: Float32Array, eps: number): Float32Array {
  const rms = Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => (value / rms) * weight[i]!);
}

export function layerNormed(x: Float32Array, weight: Float32Array, bias: Float32Array, eps: number): Float32Array {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const apart = x.map((value) => value - mean);
  const deviation = Math.sqrt(dot(apart, apart) / x.length + eps);
  return apart.map((value, i) => (value / deviation) * weight[i]! + bias[i]!);
}

/** x · Φ(x): the bell curve up to x by Simpson's rule. */
export function gelu(x: number): number {
  const steps = 64;
  const bell = (at: number): number => Math.exp((-at * at) / 2) / Math.sqrt(2 * Math.PI);
  let area = 0;
  for (let i = 0; i <= steps; i++) area += (i === 0 || i === steps ? 1 : 2 + 2 * (i % 2)) * bell((i * x) / steps);
  return x * (0.5 + (area * x) / (3 * steps));
}

/** A value as it lies in its page, and the other way round; see shaders/parts/pages/rotated-value.wgsl. */
export function rotatedValue(value: Float32Array): Float32Array {
  let block = 64;
  while (value.length % block !== 0) block /= 2;
  const rotated = value.map((x) => x / Math.sqrt(block));
  for (let apart = 1; apart < block; apart *= 2) {
    for (let i = 0; i < value.length; i++) {
      if ((i & apart) !== 0) continue;
      const [a, b] = [rotated[i]!, rotated[i + apart]!];
      [rotated[i], rotated[i + apart]] = [a + b, a - b];
    }
  }
  return rotated;
}

/** Rows of keys, then as many of values, as they lie in their pages. */
export const storedRows = (rows: readonly Float32Array[]): Float32Array[] =>
  rows.map((row, i) => (i < rows.length / 2 ? row : rotatedValue(row)));

export const ACTIVATIONS: Record<Activation, (x: number) => number> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};
