// Q2_K, Q3_K, TQ2_0: of eight blocks 64 bytes of bit pairs, CODES_AT bytes into them. Block 4n + r has pairs r of half n.
// needs: packed-bits, raw-words, repack-high, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / 8u);
  let block = origin & 7u;
  let pairs = at + CODES_AT + 32u * (block >> 2u);
  weight[params.firstUnit + i] = vec2u(sixteen_pairs(words_at(pairs), block & 3u), sixteen_pairs(words_at(pairs + 16u), block & 3u));
  repack_high(params.firstUnit + i, at);
  return repack_scales(i, at);
}
