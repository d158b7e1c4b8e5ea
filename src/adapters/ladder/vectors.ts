/** x · y, in four sums, since one sum makes every addition wait for the one before. */
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

/** `weights [rows, n]` · `vectors [n, length]`, four vectors at a time, since memory is what it waits for. */
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

/** The rows of a `[rows, length]` matrix, which stays where it is. */
export function rowsOf(matrix: Float64Array, rows: number): Float64Array[] {
  const length = matrix.length / rows;
  return Array.from({ length: rows }, (_, i) => matrix.subarray(i * length, (i + 1) * length));
}
