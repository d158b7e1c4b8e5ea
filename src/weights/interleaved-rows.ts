import type { ModelConfig } from '../config/model-config.ts';
import type { TensorInfo } from './tensor-info.ts';

/**
 * Moves rows (2i, 2i + 1) of each head to (i, i + headDim / 2): from the order of q and k in some GGUF architectures to
 * the model's own. `rows`: bytes of whole heads; `rowBytes`: bytes of a row.
 */
export function deinterleaveRows(rows: Uint8Array, rowBytes: number, headDim: number): Uint8Array<ArrayBuffer> {
  const half = headDim / 2;
  return orderedRows(
    rows,
    rowBytes,
    Array.from({ length: headDim }, (_, row) => 2 * (row % half) + Number(row >= half)),
  );
}

/**
 * Source row of each row of a partly rotated head, so that its pairs (i, i + rotaryDim / 2) move to (i, i + headDim /
 * 2), as in a fully rotated head.
 */
export function pairedRows(headDim: number, rotaryDim: number): number[] {
  const [half, turned] = [headDim / 2, rotaryDim / 2];
  return Array.from({ length: headDim }, (_, row) => {
    const [i, second] = [row % half, Number(row >= half)];
    return i < turned ? i + second * turned : rotaryDim + (i - turned) + second * (half - turned);
  });
}

/**
 * Source row of each row of q or k, per head, or for gated queries over all heads; undefined if the order stays. Files
 * store a head's gate after its query; the result has all gates after all queries.
 */
export function rowOrder(
  model: Pick<ModelConfig, 'headDim' | 'rotaryDim' | 'numHeads' | 'gatesAttention'>,
  linear: string,
): number[] | undefined {
  const { headDim, rotaryDim = headDim, numHeads, gatesAttention } = model;
  const order = pairedRows(headDim, rotaryDim);
  if (!gatesAttention || linear !== 'attn_q') return rotaryDim === headDim ? undefined : order;
  const heads = Array.from({ length: numHeads }, (_, head) => head * 2 * headDim);
  return [
    ...heads.flatMap((start) => order.map((row) => start + row)),
    ...heads.flatMap((start) => order.map((_, i) => start + headDim + i)),
  ];
}

/** Reorders the rows of whole heads. */
export function orderedRows(rows: Uint8Array, rowBytes: number, order: readonly number[]): Uint8Array<ArrayBuffer> {
  const ordered = new Uint8Array(rows.length);
  for (let row = 0; row * rowBytes < rows.length; row++) {
    const from = sourceRow(row, order);
    ordered.set(rows.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return ordered;
}

/** A tensor whose rows are reordered on reading, in groups of `order.length`. */
export function withOrderedRows(tensor: TensorInfo, order: readonly number[]): TensorInfo {
  const { source, offset, bytes: size, shape } = tensor;
  const rowBytes = size / (shape[0] ?? 1);
  const read = async (at: number, length: number): Promise<Uint8Array> => {
    const first = Math.floor(at / rowBytes);
    const rows = Array.from({ length: Math.ceil((at + length) / rowBytes) - first }, (_, i) =>
      sourceRow(first + i, order),
    );
    const start = rows.reduce((least, row) => Math.min(least, row), Infinity);
    const end = rows.reduce((most, row) => Math.max(most, row), 0) + 1;
    const bytes = await source.read(offset + start * rowBytes, (end - start) * rowBytes);
    const ordered = new Uint8Array(rows.length * rowBytes);
    rows.forEach((row, i) =>
      ordered.set(bytes.subarray((row - start) * rowBytes, (row - start + 1) * rowBytes), i * rowBytes),
    );
    return ordered.subarray(at - first * rowBytes, at - first * rowBytes + length);
  };
  return { ...tensor, offset: 0, source: { name: source.name, size, read } };
}

const sourceRow = (row: number, order: readonly number[]): number =>
  row - (row % order.length) + order[row % order.length]!;
