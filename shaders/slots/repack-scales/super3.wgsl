// Q3_K: 12 bytes of 6-bit scales, then d, which becomes f32. Of scale s the lower bits are a nibble of byte s % 8, the upper
// ones a pair of byte 8 + s % 4; here nibbles, then pairs, lie side by side.
// needs: packed-bits, raw-words, widened
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 8u != 0u) { return true; }
  let words = words_at(at + 96u);
  let d = half_at(at + 108u);
  let low = low_nibbles(vec4u(words.xy, words.xy >> vec2u(4u)));
  let upper = low_pairs(words.z) | (low_pairs(words.z >> 2u) << 8u) | (low_pairs(words.z >> 4u) << 16u) | (low_pairs(words.z >> 6u) << 24u);
  weight_scales[(params.firstUnit + i) / 8u] = vec4u(widened(d), low, upper);
  return are_finite(vec4u(d));
}
