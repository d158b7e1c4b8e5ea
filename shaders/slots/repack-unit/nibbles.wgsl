// Q4_0, Q4_1, Q5_0, Q5_1: scale (and minimum), fifth bits, then 16 bytes: the low nibbles are the first half.
// needs: block-scales, packed-bits, raw-words, repack-high
fn repack_unit(i: u32) -> bool {
  let at = BLOCK_BYTES * source_of(i);
  let codes = words_at(at + BLOCK_BYTES - 16u);
  weight[params.firstUnit + i] = vec4u(low_nibbles(codes), low_nibbles(codes >> vec4u(4u)));
  repack_high(params.firstUnit + i, at);
  return repack_scales(i, at);
}
