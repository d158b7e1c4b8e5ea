// An f16 scale for SCALE_SPAN blocks, SCALE_AT bytes into them, or a scale and a minimum. Two scales share a word, which the
// first block's invocation writes; before the first unit there are even many scales, as there are even many rows.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (SCALE_BYTES == 4u) {
    let word = word_at(at);
    weight_scales[params.firstUnit + i] = word;
    return are_finite(vec4u(word));
  }
  if (i % (2u * SCALE_SPAN) != 0u) { return true; }
  var word = half_at(at + SCALE_AT);
  if (i + SCALE_SPAN < params.units) { word |= half_at(BLOCK_BYTES * (source_of(i + SCALE_SPAN) / SCALE_SPAN) + SCALE_AT) << 16u; }
  weight_scales[(params.firstUnit + i) / (2u * SCALE_SPAN)] = word;
  return are_finite(vec4u(word));
}
