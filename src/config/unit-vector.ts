/** A vector scaled to length one; of zeros zeros. */
export function unitVector(vector: Float32Array | Float64Array): Float32Array<ArrayBuffer> {
  const length = Math.hypot(...vector) || 1;
  return Float32Array.from(vector, (value) => value / length);
}
