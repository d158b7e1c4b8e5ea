/** A vector scaled to length one; of zeros zeros. */
export function unitVector(vector: Float32Array | Float64Array): Float32Array<ArrayBuffer> {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const length = Math.sqrt(squares) || 1;
  return Float32Array.from(vector, (value) => value / length);
}
