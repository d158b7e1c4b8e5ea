// Q1_0: a scale for SCALE_SPAN blocks, then a word a block: as they are.
// needs: raw-words, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / SCALE_SPAN);
  weight[params.firstUnit + i] = word_at(at + 2u + 4u * (origin % SCALE_SPAN));
  return repack_scales(i, at);
}
