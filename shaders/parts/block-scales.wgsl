// What a block begins with: an f16 scale, or a scale and a minimum. Two scales share a word, which the even block's
// invocation writes; the first unit is even, as there are even many rows before it.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (SCALE_BYTES == 4u) {
    let word = word_at(at);
    weight_scales[params.firstUnit + i] = word;
    return are_finite(vec4u(word));
  }
  if ((i & 1u) == 1u) { return true; }
  var word = half_at(at);
  if (i + 1u < params.units) { word |= half_at(BLOCK_BYTES * source_of(i + 1u)) << 16u; }
  weight_scales[(params.firstUnit + i) / 2u] = word;
  return are_finite(vec4u(word));
}
