import type { TensorInfo } from '../../weights/tensor-info.ts';
import type { WeightMatrix } from '../weight-matrix.ts';

/** Consecutive rows of a matrix, as they lie in the file; of a `headDim` those of each head are interleaved. */
export interface Piece {
  row: number;
  rows: number;
  bytes: Uint8Array;
  headDim: number | undefined;
}

/** Brings what files hold into the form that kernels read (shaders/slots/codes), and looks for what is not finite. */
export interface Repacking {
  /** Before the first piece of a tensor, of which none has more bytes than `mostBytes`; what it gives takes them. */
  begin(matrix: WeightMatrix, tensor: TensorInfo, mostBytes: number): Promise<(piece: Piece) => Promise<void>>;
  /** Errors: `bad_file` for what is not finite, naming the first tensor; `device_lost`. */
  finish(): Promise<void>;
  destroy(): void;
}

/** The rows of a piece that are a slice's: from `from` to below `to` of the matrix. */
export function rowsWithin(
  slice: { rowStart: number; rows: number },
  { row, rows }: Pick<Piece, 'row' | 'rows'>,
): { from: number; to: number } {
  return { from: Math.max(row, slice.rowStart), to: Math.min(row + rows, slice.rowStart + slice.rows) };
}
