/**
 * Rows (2i, 2i + 1) of each head → rows (i, i + headDim / 2): from the order of q and k in GGUF files of some
 * architectures to the model's own. `rows`: the bytes of whole heads, `rowBytes` a row.
 */
export function deinterleaveRows(rows: Uint8Array, rowBytes: number, headDim: number): Uint8Array<ArrayBuffer> {
  const ordered = new Uint8Array(rows.length);
  for (let row = 0; row * rowBytes < rows.length; row++) {
    const inHead = row % headDim;
    const to = row - inHead + (inHead >> 1) + (inHead & 1) * (headDim / 2);
    ordered.set(rows.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes);
  }
  return ordered;
}
