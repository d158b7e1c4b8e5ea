import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { dequantize } from '../weights/dequantize.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';

/** Rows that are kept in memory, of the tokens that were read last. */
const MOST_KEPT = 256;

/** A matrix with a row a token that stays in its file: rows are read as tokens come. */
export class TokenRows {
  readonly #kept = new Map<number, Promise<Float32Array>>();

  /** `scale`: of every number. */
  constructor(
    private readonly tensor: TensorInfo,
    private readonly scale: number,
  ) {}

  /** `[ids.length, columns]`. Errors: `bad_file` for a number that is not finite, and what the source throws. */
  async read(ids: readonly number[]): Promise<Float32Array<ArrayBuffer>> {
    const [, columns = 0] = this.tensor.shape;
    const rows = await Promise.all(ids.map((id) => this.#row(id)));
    const all = new Float32Array(ids.length * columns);
    rows.forEach((row, i) => all.set(row, i * columns));
    return all;
  }

  #row(id: number): Promise<Float32Array> {
    const row = this.#kept.get(id) ?? this.#readRow(id);
    this.#kept.delete(id);
    this.#kept.set(id, row); // the last one now
    row.catch(() => this.#kept.delete(id)); // another time it may be there
    const [oldest = id] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(oldest);
    return row;
  }

  async #readRow(id: number): Promise<Float32Array> {
    const {
      name,
      type,
      shape: [rows = 0],
      bytes,
      offset,
      source,
    } = this.tensor;
    const rowBytes = bytes / rows;
    const values = dequantize(type, await source.read(offset + id * rowBytes, rowBytes)).map(
      (value) => value * this.scale,
    );
    if (values.every(Number.isFinite)) return values;
    throw new ChunkwiseError('bad_file', {
      file: source.name,
      field: name,
      reason: `row ${id} has a number that is not finite`,
    });
  }
}
