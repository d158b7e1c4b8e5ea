// IQ3_XXS, Q2_0: a scale for SCALE_SPAN blocks, then 8 bytes a block: as they are.
// needs: raw-words, repack-high, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / SCALE_SPAN);
  weight[params.firstUnit + i] = words_at(at + 2u + 8u * (origin % SCALE_SPAN)).xy;
  repack_high(params.firstUnit + i, at);
  return repack_scales(i, at);
}
