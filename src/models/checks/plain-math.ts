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
export const storedRows = (rows: readonly Float32Array[]): Float32Array[] => rows.map((row, i) => (i < rows.length / 2 ? row : rotatedValue(row)));

export const ACTIVATIONS: Record<Activation, (x: number) => number> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};
