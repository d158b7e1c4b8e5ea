import { norm } from '../operations.ts';
import { elementOf, type PagedHeads, rotatedValue, rotateHead } from './paged-heads.ts';

export interface QkNorm {
  query: Float32Array;
  key: Float32Array;
  eps: number;
}

/**
 * Writes the keys and values of `qkv [T, (numHeads + 2 numKvHeads) headDim]`, of tokens from `position` on, into `kv`:
 * keys normed (with `qkNorm`), then rotated by their offset within their page; values, normed without weights (with `valueEps`), rotated too. Norms the queries of `qkv` in place.
 */
export function storeKv(
  heads: PagedHeads,
  qkv: Float64Array,
  kv: Float64Array,
  position: number,
  { rope, qkNorm, valueEps }: { rope: Float32Array; qkNorm?: QkNorm | undefined; valueEps?: number | undefined },
): void {
  const { numHeads, numKvHeads, headDim, pageTokens } = heads;
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const ones = new Float32Array(headDim).fill(1);
  const normed = (head: Float64Array, weight: Float32Array | undefined): Float64Array =>
    weight && qkNorm ? (norm([head], weight, qkNorm.eps)[0] ?? head) : head;
  for (let token = 0; token * width < qkv.length; token++) {
    const headAt = (i: number): Float64Array =>
      qkv.subarray(token * width + i * headDim, token * width + (i + 1) * headDim);
    const at = position + token;
    for (let head = 0; head < numHeads; head++) headAt(head).set(normed(headAt(head), qkNorm?.query));
    for (let head = 0; head < numKvHeads; head++) {
      const key = rotateHead(normed(headAt(numHeads + head), qkNorm?.key), at % pageTokens, rope);
      kv.set(key, elementOf(heads, 'key', head, at));
      const value = headAt(numHeads + numKvHeads + head);
      const own = valueEps === undefined ? value : (norm([value], ones, valueEps)[0] ?? value);
      kv.set(rotatedValue(own), elementOf(heads, 'value', head, at));
    }
  }
}
