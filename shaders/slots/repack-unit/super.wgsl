// Q4_K, Q5_K: of eight blocks d, dmin, 12 bytes of 6-bit scales and minima, fifth bits, then 128 bytes of nibbles, of
// which blocks 2j and 2j + 1 share 32. The first block's invocation writes the scales of all.
// needs: packed-bits, raw-words, repack-high
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / 8u);
  let block = origin & 7u;
  let codes = at + BLOCK_BYTES - 128u + 32u * (block >> 1u);
  let shift = vec4u(4u * (block & 1u));
  weight[params.firstUnit + i] = vec4u(low_nibbles(words_at(codes) >> shift), low_nibbles(words_at(codes + 16u) >> shift));
  repack_high(params.firstUnit + i, at);
  if (block != 0u) { return true; }
  let words = words_at(at);
  weight_scales[(params.firstUnit + i) / 8u] = vec4u(words.x, packed_scales(words.y, words.z, words.w));
  return are_finite(vec4u(words.x));
}

// From llama.cpp's packing (get_scale_min_k4) to: low nibbles of scales, of minima, upper bits of both. Blocks 0 to 3
// have their scales in the bytes of `a` and their minima in those of `b`; the others both low nibbles in `c`, and their
// upper bits atop the first two.
fn packed_scales(a: u32, b: u32, c: u32) -> vec3u {
  let low = low_nibbles(vec4u(a, c, b, c >> 4u));
  let upper = vec2u(low_pairs(a >> 4u) | (low_pairs(a >> 6u) << 8u), low_pairs(b >> 4u) | (low_pairs(b >> 6u) << 8u));
  return vec3u(low, upper.x | (upper.y << 16u));
}
