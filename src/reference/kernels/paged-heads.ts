/** How heads lie in a batch's rows and in the pages of the KV cache. */
export interface PagedHeads {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  /** Of scores; default 1 / sqrt(headDim). */
  attentionScale?: number;
  /** Tokens of a page. */
  pageTokens: number;
  /** Physical page of each logical page. */
  pages: ArrayLike<number>;
}

/** Where `kvHead`'s key or value of the token at `position` begins, in elements: pages hold keys, then values. */
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
 * A value as it lies in its page, and what lies there as a value: a Walsh–Hadamard transform of each 64 components, or of as
 * many as a power of two leaves.
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

/** Of a Hadamard matrix of 64 rows: −1 to the number of ones that row and column share. */
const SIGNS = Float64Array.from({ length: 64 * 64 }, (_, i) => (-1) ** bitsIn(Math.floor(i / 64) & (i % 64)));
