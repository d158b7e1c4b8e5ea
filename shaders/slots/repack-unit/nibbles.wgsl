// Of SCALE_SPAN blocks what belongs to their scales, and fifth bits, then 16 bytes a block: the low nibbles are its first half.
// needs: packed-bits, raw-words, repack-high, repack-recode, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / SCALE_SPAN);
  let codes = words_at(at + BLOCK_BYTES - 16u * (SCALE_SPAN - origin % SCALE_SPAN));
  weight[params.firstUnit + i] = recoded(vec4u(low_nibbles(codes), low_nibbles(codes >> vec4u(4u))));
  repack_high(params.firstUnit + i, at);
  return repack_scales(i, at);
}
