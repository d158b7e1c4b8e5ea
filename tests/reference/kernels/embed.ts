/** Rows `tokens` of `weights [rows, columns]`, one after another, times `scale`: `[T, columns]`. */
export function embed(weights: Float32Array, columns: number, tokens: ArrayLike<number>, scale = 1): Float64Array {
  const y = new Float64Array(tokens.length * columns);
  Array.from(tokens, (row, token) => y.set(weights.subarray(row * columns, (row + 1) * columns), token * columns));
  return y.map((value) => value * scale);
}
