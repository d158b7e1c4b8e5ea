/** Layout of heads in a batch's rows and in the pages of the KV cache. */
export interface PagedHeads {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  /** Factor of scores; default 1 / sqrt(headDim). */
  attentionScale?: number;
  /** Tokens of a page. */
  pageTokens: number;
  /** Physical page of each logical page. */
  pages: ArrayLike<number>;
}

/** Offset in elements of `kvHead`'s key or value of the token at `position`: pages hold keys, then values. */
export function elementOf(heads: PagedHeads, part: 'key' | 'value', kvHead: number, position: number): number {
  const { numKvHeads, headDim, pageTokens, pages } = heads;
  const page = (pages[Math.floor(position / pageTokens)] ?? 0) * 2 + (part === 'key' ? 0 : 1);
  return ((page * numKvHeads + kvHead) * pageTokens + (position % pageTokens)) * headDim;
}

/** `head [headDim]` rotated by `distance`: pairs (i, i + headDim / 2), as cos and sin in `rope [position, 2, headDim / 2]`. */
export function rotateHead(head: Float64Array, distance: number, rope: Float32Array): Float64Array {
  const half = head.length / 2;
  const at = distance * head.length;
  return head.map((value, i) => {
    const cosine = rope[at + (i % half)] ?? 0;
    const sine = rope[at + half + (i % half)] ?? 0;
    return i < half ? value * cosine - (head[i + half] ?? 0) * sine : (head[i - half] ?? 0) * sine + value * cosine;
  });
}

/**
 * The rotation of values in pages, its own inverse: a Walsh–Hadamard transform of each block of 64 components, or of the
 * largest power of two that divides the length.
 */
export function rotatedValue(value: Float64Array): Float64Array {
  let block = 64;
  while (value.length % block !== 0) block /= 2;
  const root = Math.sqrt(block);
  return value.map((_, i) => {
    const first = i - (i % block);
    let sum = 0;
    for (let k = 0; k < block; k++) sum += SIGNS[(i % block) * 64 + k]! * value[first + k]!;
    return sum / root;
  });
}

const bitsIn = (x: number): number => (x === 0 ? 0 : (x & 1) + bitsIn(x >> 1));

/** A Hadamard matrix of 64 rows: −1 to the number of ones that row and column share. */
const SIGNS = Float64Array.from({ length: 64 * 64 }, (_, i) => (-1) ** bitsIn(Math.floor(i / 64) & (i % 64)));
