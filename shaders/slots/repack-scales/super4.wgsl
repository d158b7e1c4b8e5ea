// IQ4_XS: a super-block begins with d, the upper bits of eight 6-bit scales, and their low nibbles: as they are.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 8u != 0u) { return true; }
  weight_scales[(params.firstUnit + i) / 8u] = words_at(at).xy;
  return are_finite(vec4u(half_at(at)));
}
