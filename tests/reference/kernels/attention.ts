import { dot, softmax } from '../operations.ts';
import { elementOf, type PagedHeads, rotatedValue, rotateHead } from './paged-heads.ts';

/**
 * Causal attention of the queries in `qkv [T, (numHeads + 2 numKvHeads) headDim]`, of tokens from `position` on, over the
 * pages in `kv` → `[T, numHeads headDim]`. A query is rotated by its distance from the base of the key's page. `window`:
 * tokens that each token sees, itself included.
 */
export function attention(
  heads: PagedHeads & { window?: number | undefined },
  qkv: Float32Array,
  kv: Float64Array,
  position: number,
  rope: Float32Array,
): Float64Array {
  const {
    numHeads,
    numKvHeads,
    headDim,
    pageTokens,
    attentionScale = 1 / Math.sqrt(headDim),
    window = Infinity,
  } = heads;
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const tokens = qkv.length / width;
  const y = new Float64Array(tokens * numHeads * headDim);
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < numHeads; head++) {
      const query = Float64Array.from(
        qkv.subarray(token * width + head * headDim, token * width + (head + 1) * headDim),
      );
      const kvHead = Math.floor(head / (numHeads / numKvHeads));
      const at = position + token;
      const first = Math.max(0, at + 1 - window);
      const scores = new Float64Array(at + 1 - first);
      let rotated: Float64Array = query;
      for (let key = first; key <= at; key++) {
        if (key === first || key % pageTokens === 0) rotated = rotateHead(query, at - key + (key % pageTokens), rope);
        const from = elementOf(heads, 'key', kvHead, key);
        scores[key - first] = dot(rotated, kv.subarray(from, from + headDim)) * attentionScale;
      }
      const output = y.subarray((token * numHeads + head) * headDim, (token * numHeads + head + 1) * headDim);
      softmax(scores).forEach((weight, seen) => {
        const from = elementOf(heads, 'value', kvHead, first + seen);
        for (let i = 0; i < headDim; i++) output[i]! += weight * (kv[from + i] ?? 0);
      });
      output.set(rotatedValue(output));
    }
  }
  return y;
}
