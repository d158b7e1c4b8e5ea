// TQ1_0: of eight blocks 48 bytes of five digits, 4 bytes of four, then a scale: as they are. The first block's invocation
// writes all.
// needs: raw-words, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  if (origin % 8u != 0u) { return true; }
  let at = BLOCK_BYTES * (origin / 8u);
  let to = (params.firstUnit + i) / 8u;
  weight[3u * to] = words_at(at);
  weight[3u * to + 1u] = words_at(at + 16u);
  weight[3u * to + 2u] = words_at(at + 32u);
  weight_high[to] = word_at(at + 48u);
  return repack_scales(i, at);
}
