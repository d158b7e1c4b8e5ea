/** `x [T, width]`, layer-normed, weighted and shifted (arXiv 1607.06450). */
export function layerNorm(x: Float32Array, weight: Float32Array, bias: Float32Array, eps: number): Float64Array {
  const width = weight.length;
  const normed = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    const mean = row.reduce((sum, value) => sum + value, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    row.forEach(
      (value, i) => (normed[start + i] = ((value - mean) / Math.sqrt(variance + eps)) * weight[i]! + bias[i]!),
    );
  }
  return normed;
}

/** x · Φ(x), by the error function's series near 0 and its continued fraction far from it. */
export function geluOf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  let tail: number;
  if (z < 3) {
    let [term, sum] = [z, z];
    for (let n = 1; n < 100; n++) {
      term *= -(z * z) / n;
      sum += term / (2 * n + 1);
    }
    tail = 0.5 - sum / Math.sqrt(Math.PI);
  } else {
    let fraction = 0;
    for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
    tail = Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction) / 2;
  }
  return x * (x < 0 ? tail : 1 - tail);
}

export interface TextHeads {
  numHeads: number;
  headDim: number;
  numKvHeads?: number;
  attentionScale?: number;
  reach?: number;
}

/** `qkv [T, numHeads + 2 numKvHeads, headDim]` → `[T, numHeads, headDim]`: each token attends to the tokens of its text within its reach; `lengths` are those of the texts. */
export function attendTexts(
  qkv: Float32Array,
  lengths: readonly number[],
  { numHeads, headDim, numKvHeads = numHeads, attentionScale = 1 / Math.sqrt(headDim), reach = Infinity }: TextHeads,
): Float64Array {
  const width = numHeads * headDim;
  const rowWidth = (numHeads + 2 * numKvHeads) * headDim;
  const y = new Float64Array((qkv.length / rowWidth) * width);
  let first = 0;
  for (const length of lengths) {
    for (let t = first; t < first + length; t++) {
      for (let head = 0; head < numHeads; head++) {
        const at = (token: number, of: number): number => token * rowWidth + of * headDim;
        const key = numHeads + Math.floor(head / (numHeads / numKvHeads));
        const scores = Array.from({ length }, (_, i) => {
          let sum = 0;
          for (let c = 0; c < headDim; c++) sum += qkv[at(t, head) + c]! * qkv[at(first + i, key) + c]!;
          return Math.abs(first + i - t) > reach ? -Infinity : sum * attentionScale;
        });
        const largest = Math.max(...scores);
        const powers = scores.map((score) => Math.exp(score - largest));
        const total = powers.reduce((sum, power) => sum + power, 0);
        powers.forEach((power, i) => {
          for (let c = 0; c < headDim; c++)
            y[t * width + head * headDim + c]! += (power / total) * qkv[at(first + i, key + numKvHeads) + c]!;
        });
      }
    }
    first += length;
  }
  return y;
}

/**
 * `qkv [T, numHeads + 2 numKvHeads, headDim]`: heads of queries and keys RMS-normed, weighted by `[2, headDim]` (queries, keys)
 * and rotated by their token's position (RoPE, arXiv 2104.09864, components i and i + headDim / 2 together); values as they are.
 */
export function rotateHeads(
  qkv: Float32Array,
  positions: readonly number[],
  weights: Float32Array,
  {
    numHeads,
    numKvHeads,
    headDim,
    eps,
    theta,
  }: { numHeads: number; numKvHeads: number; headDim: number; eps: number; theta: number },
): Float64Array {
  const heads = numHeads + 2 * numKvHeads;
  const half = headDim / 2;
  const y = Float64Array.from(qkv);
  positions.forEach((position, t) => {
    for (let head = 0; head < numHeads + numKvHeads; head++) {
      const base = (t * heads + head) * headDim;
      const row = qkv.subarray(base, base + headDim);
      const rms = Math.sqrt(row.reduce((sum, value) => sum + value ** 2, 0) / headDim + eps);
      const normed = Float64Array.from(
        row,
        (value, i) => (value / rms) * weights[(head < numHeads ? 0 : headDim) + i]!,
      );
      for (let i = 0; i < half; i++) {
        const angle = position * theta ** (-i / half);
        y[base + i] = normed[i]! * Math.cos(angle) - normed[half + i]! * Math.sin(angle);
        y[base + half + i] = normed[i]! * Math.sin(angle) + normed[half + i]! * Math.cos(angle);
      }
    }
  });
  return y;
}
