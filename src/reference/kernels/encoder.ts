/** `x [T, width]`, layer-normed, weighted and shifted (arXiv 1607.06450). */
export function layerNorm(x: Float32Array, weight: Float32Array, bias: Float32Array, eps: number): Float64Array {
  const width = weight.length;
  const normed = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    const mean = row.reduce((sum, value) => sum + value, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    row.forEach((value, i) => (normed[start + i] = ((value - mean) / Math.sqrt(variance + eps)) * weight[i]! + bias[i]!));
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
}

/** `qkv [T, 3, numHeads, headDim]` → `[T, numHeads, headDim]`: each token attends to all of its text, of these `lengths`. */
export function attendTexts(qkv: Float32Array, lengths: readonly number[], { numHeads, headDim }: TextHeads): Float64Array {
  const width = numHeads * headDim;
  const y = new Float64Array(qkv.length / 3);
  let first = 0;
  for (const length of lengths) {
    for (let t = first; t < first + length; t++) {
      for (let head = 0; head < numHeads; head++) {
        const at = (token: number, part: number): number => (3 * token + part) * width + head * headDim;
        const scores = Array.from({ length }, (_, i) => {
          let sum = 0;
          for (let c = 0; c < headDim; c++) sum += qkv[at(t, 0) + c]! * qkv[at(first + i, 1) + c]!;
          return sum / Math.sqrt(headDim);
        });
        const largest = Math.max(...scores);
        const powers = scores.map((score) => Math.exp(score - largest));
        const total = powers.reduce((sum, power) => sum + power, 0);
        powers.forEach((power, i) => {
          for (let c = 0; c < headDim; c++) y[t * width + head * headDim + c]! += (power / total) * qkv[at(first + i, 2) + c]!;
        });
      }
    }
    first += length;
  }
  return y;
}
