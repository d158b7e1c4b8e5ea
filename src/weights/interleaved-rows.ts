import type { TensorInfo } from './tensor-info.ts';

/**
 * Rows (2i, 2i + 1) of each head → rows (i, i + headDim / 2): from the order of q and k in GGUF files of some
 * architectures to the model's own. `rows`: the bytes of whole heads, `rowBytes` a row.
 */
export function deinterleaveRows(rows: Uint8Array, rowBytes: number, headDim: number): Uint8Array<ArrayBuffer> {
  const half = headDim / 2;
  return orderedRows(rows, rowBytes, Array.from({ length: headDim }, (_, row) => 2 * (row % half) + Number(row >= half)));
}

/**
 * Which row of a head becomes the i-th where the rows of its rotated part, (i, i + rotaryDim / 2), are to be (i, i + headDim / 2), as if all were
 * rotated.
 */
export function pairedRows(headDim: number, rotaryDim: number): number[] {
  const [half, turned] = [headDim / 2, rotaryDim / 2];
  return Array.from({ length: headDim }, (_, row) => {
    const [i, second] = [row % half, Number(row >= half)];
    return i < turned ? i + second * turned : rotaryDim + (i - turned) + second * (half - turned);
  });
}

/** The rows of whole heads, each head's in this order. */
export function orderedRows(rows: Uint8Array, rowBytes: number, order: readonly number[]): Uint8Array<ArrayBuffer> {
  const ordered = new Uint8Array(rows.length);
  for (let row = 0; row * rowBytes < rows.length; row++) {
    const from = row - (row % order.length) + order[row % order.length]!;
    ordered.set(rows.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return ordered;
}

/** A tensor of heads with the rows of each in this order, as they are read. */
export function withOrderedRows(tensor: TensorInfo, order: readonly number[]): TensorInfo {
  const { source, offset, bytes: size, shape } = tensor;
  const rowBytes = size / (shape[0] ?? 1);
  const headBytes = rowBytes * order.length;
  const read = async (at: number, length: number): Promise<Uint8Array> => {
    const first = Math.floor(at / headBytes) * headBytes;
    const end = Math.ceil((at + length) / headBytes) * headBytes;
    const heads = orderedRows(await source.read(offset + first, end - first), rowBytes, order);
    return heads.subarray(at - first, at - first + length);
  };
  return { ...tensor, offset: 0, source: { name: source.name, size, read } };
}
