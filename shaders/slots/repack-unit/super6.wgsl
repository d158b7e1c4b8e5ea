// Q6_K: of eight blocks 128 bytes of nibbles, 64 of upper bit pairs, 16 scales, d. Block 4n + r has nibbles r >> 1 and
// bit pairs r of half n. The first block's invocation writes the scales of all, d as f32.
// needs: five-words, packed-bits, raw-words, widened
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / 8u);
  let block = origin & 7u;
  let r = block & 3u;
  let codes = at + 64u * (block >> 2u) + 32u * (r & 1u);
  let shift = vec4u(4u * (r >> 1u));
  weight[params.firstUnit + i] = vec4u(low_nibbles(words_at(codes) >> shift), low_nibbles(words_at(codes + 16u) >> shift));
  let pairs = at + 128u + 32u * (block >> 2u);
  weight_high[params.firstUnit + i] = vec2u(sixteen_pairs(words_at(pairs), r), sixteen_pairs(words_at(pairs + 16u), r));
  if (block != 0u) { return true; }
  let d = half_at(at + 208u);
  put_run((params.firstUnit + i) / 8u, widened(d), words_at(at + 192u));
  return are_finite(vec4u(d));
}
