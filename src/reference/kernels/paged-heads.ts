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
