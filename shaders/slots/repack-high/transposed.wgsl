// Q3_K, Q5_K: HIGH_AT bytes into a super-block bit j of byte e is the upper bit of element e of block j.
// needs: raw-words
fn repack_high(to: u32, at: u32) {
  let block = vec4u(to & 7u);
  weight_high[to] = lowest_bits(words_at(at + HIGH_AT) >> block) | (lowest_bits(words_at(at + HIGH_AT + 16u) >> block) << 16u);
}

// The lowest bits of 16 bytes: the product brings those of four together at its top.
fn lowest_bits(words: vec4u) -> u32 {
  let bits = ((words & vec4u(0x01010101u)) * vec4u(0x10204080u)) >> vec4u(28u);
  return dot(bits, vec4u(1u, 16u, 256u, 4096u));
}
