/** The largest of `values` and `least`. Works for lists that exceed the argument limit of Math.max. */
export const largest = (values: readonly number[], least: number): number =>
  values.reduce((most, value) => Math.max(most, value), least);

/** The value below which a share `q` of `values` lies (nearest rank); 0 for an empty list. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

/** MurmurHash3's finaliser: 32 bits, each of which depends on every bit of `value`. */
export function mixedBits(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Pseudorandom words, the same on every call (xorshift32). */
export function randomWords(count: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(count);
  let state = 0x9e3779b9;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return words;
}

/** The vector scaled to length 1; zeros stay zeros. */
export function unitVector(vector: Float32Array | Float64Array): Float32Array<ArrayBuffer> {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const length = Math.sqrt(squares) || 1;
  return Float32Array.from(vector, (value) => value / length);
}
