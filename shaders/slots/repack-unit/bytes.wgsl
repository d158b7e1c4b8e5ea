// Q8_0: scale, then 32 bytes. 128 is added to the lower three bytes of each word (slots/codes/8bit.wgsl).
// needs: raw-words, repack-scales
fn repack_unit(i: u32) -> bool {
  let at = BLOCK_BYTES * source_of(i);
  let to = 2u * (params.firstUnit + i);
  weight[to] = words_at(at + 2u) ^ vec4u(0x00808080u);
  weight[to + 1u] = words_at(at + 18u) ^ vec4u(0x00808080u);
  return repack_scales(i, at);
}
