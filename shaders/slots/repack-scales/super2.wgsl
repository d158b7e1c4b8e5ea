// Q2_K: 16 bytes, each a scale and a minimum of four bits, are the first of a super-block; d and dmin its last.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 8u != 0u) { return true; }
  let to = 5u * ((params.firstUnit + i) / 8u);
  let halves = word_at(at + 80u);
  let scales = words_at(at);
  weight_scales[to] = halves;
  weight_scales[to + 1u] = scales.x;
  weight_scales[to + 2u] = scales.y;
  weight_scales[to + 3u] = scales.z;
  weight_scales[to + 4u] = scales.w;
  return are_finite(vec4u(halves));
}
