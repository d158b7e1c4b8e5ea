// MXFP4: a block begins with a byte. Four share a word, which the first block's invocation writes; before the first unit
// there are whole words, as rows come in fours.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 4u != 0u) { return true; }
  var word = byte_at(at);
  for (var k = 1u; k < 4u && i + k < params.units; k++) { word |= byte_at(BLOCK_BYTES * source_of(i + k)) << (8u * k); }
  weight_scales[(params.firstUnit + i) / 4u] = word;
  return are_finite(vec4u(word, word >> 8u, 0u, 0u));
}

fn byte_at(byte: u32) -> u32 { return (raw[byte / 4u] >> (8u * (byte & 3u))) & 0xffu; }
