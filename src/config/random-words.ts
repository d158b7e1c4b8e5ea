/** The same ones each time (xorshift32). */
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
