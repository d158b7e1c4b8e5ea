/**
 * Rows (2i, 2i + 1) of each head → rows (i, i + headDim / 2): from the order of q and k in GGUF files of the Llama
 * family to the model's own. `matrix` is `[rows, columns]`, its rows whole heads.
 */
export function deinterleaveRows(matrix: Float32Array, columns: number, headDim: number): Float32Array {
  const ordered = new Float32Array(matrix.length);
  for (let row = 0; row * columns < matrix.length; row++) {
    const inHead = row % headDim;
    const to = row - inHead + (inHead >> 1) + (inHead & 1) * (headDim / 2);
    ordered.set(matrix.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return ordered;
}
