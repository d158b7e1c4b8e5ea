// Q2_K: 16 bytes, each a scale and a minimum of four bits, are the first of a super-block; d and dmin its last.
// needs: five-words, raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 8u != 0u) { return true; }
  let halves = word_at(at + 80u);
  put_run((params.firstUnit + i) / 8u, halves, words_at(at));
  return are_finite(vec4u(halves));
}
