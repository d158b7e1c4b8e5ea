// IQ3_XXS: of eight blocks a scale, 64 bytes that are places in a table, and a word each of signs and a scale: as they are.
// needs: raw-words, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / 8u);
  let block = origin & 7u;
  weight[params.firstUnit + i] = words_at(at + 2u + 8u * block).xy;
  weight_high[params.firstUnit + i] = word_at(at + 66u + 4u * block);
  return repack_scales(i, at);
}
