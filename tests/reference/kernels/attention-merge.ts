import { rotatedValue } from './paged-heads.ts';

/**
 * partials `[T, splits, numHeads, headDim + 4]`, each an unnormalized output, then the maximum and the sum of its softmax
 * → `[T, numHeads headDim]`, rotated back.
 */
export function attentionMerge(
  partials: Float32Array,
  { splits, numHeads, headDim }: { splits: number; numHeads: number; headDim: number },
): Float64Array {
  const size = headDim + 4;
  const tokens = partials.length / (splits * numHeads * size);
  const y = new Float64Array(tokens * numHeads * headDim);
  for (let i = 0; i < tokens * numHeads; i++) {
    const token = Math.floor(i / numHeads);
    const parts = Array.from({ length: splits }, (_, split) => {
      const at = ((token * splits + split) * numHeads + (i % numHeads)) * size;
      return partials.subarray(at, at + size);
    });
    const maximum = Math.max(...parts.map((part) => part[headDim] ?? 0));
    const weights = parts.map((part) => Math.exp((part[headDim] ?? 0) - maximum));
    const total = parts.reduce((sum, part, s) => sum + (weights[s] ?? 0) * (part[headDim + 1] ?? 0), 0);
    const merged = Float64Array.from(
      { length: headDim },
      (_, k) => parts.reduce((sum, part, s) => sum + (weights[s] ?? 0) * (part[k] ?? 0), 0) / total,
    );
    y.set(rotatedValue(merged), i * headDim);
  }
  return y;
}
