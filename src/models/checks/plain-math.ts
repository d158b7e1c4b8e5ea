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

export const silu = (x: number): number => x / (1 + Math.exp(-x));
