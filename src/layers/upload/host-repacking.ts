import type { Device } from '../../gpu/device.ts';
import { checkFinite } from '../../kernels/formats/finite-planes.ts';
import { repack } from '../../kernels/formats/repack.ts';
import { planeNames } from '../../kernels/formats/weight-formats.ts';
import { deinterleaveRows } from '../../weights/interleaved-rows.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { planeBytes, type WeightMatrix } from '../weight-matrix.ts';
import { type Piece, type Repacking, rowsWithin } from './repacking.ts';

/** JavaScript repacks, and writes planes. */
export class HostRepacking implements Repacking {
  constructor(private readonly device: Device) {}

  async begin(matrix: WeightMatrix, tensor: TensorInfo): Promise<(piece: Piece) => Promise<void>> {
    return async (piece) => this.#upload(matrix, tensor, piece);
  }

  async finish(): Promise<void> {}

  destroy(): void {}

  #upload({ type, columns, slices }: WeightMatrix, tensor: TensorInfo, piece: Piece): void {
    const rowBytes = piece.bytes.length / piece.rows;
    const { row, headDim } = piece;
    const bytes = headDim === undefined ? piece.bytes : deinterleaveRows(piece.bytes, rowBytes, headDim);
    for (const slice of slices) {
      const { from, to } = rowsWithin(slice, piece);
      if (from >= to) continue;
      const planes = repack(type, bytes.subarray((from - row) * rowBytes, (to - row) * rowBytes));
      checkFinite(tensor, planes);
      for (const name of planeNames(type)) {
        const words = planes[name];
        const bound = slice.planes[name];
        if (!words || !bound) continue;
        const offset = bound.offset + planeBytes(type, name, columns) * (from - slice.rowStart);
        this.device.gpuDevice.queue.writeBuffer(bound.buffer, offset, words.buffer, words.byteOffset, words.byteLength);
      }
    }
  }
}
