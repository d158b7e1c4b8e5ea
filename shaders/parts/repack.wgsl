#part raw-words
// Words of a file's bytes. Halves are at even bytes; with WHOLE_WORDS blocks begin at words.

// The unit of `raw` that becomes unit i: rows (2t, 2t + 1) of a head become its rows (t, t + headDim / 2), unless headDim is 0.
fn source_of(i: u32) -> u32 {
  if (params.headDim == 0u) { return params.firstRow * params.rowUnits + i; }
  let row = params.firstRow + i / params.rowUnits;
  let place = row % params.headDim;
  let half = params.headDim / 2u;
  let origin = row - place + select(2u * (place - half) + 1u, 2u * place, place < half);
  return origin * params.rowUnits + i % params.rowUnits;
}

fn half_at(byte: u32) -> u32 { return (raw[byte / 4u] >> (8u * (byte & 2u))) & 0xffffu; }

// In two shifts: in WGSL a shift by 32 bits does nothing.
fn word_at(byte: u32) -> u32 {
  let low = raw[byte / 4u];
  if (WHOLE_WORDS) { return low; }
  let shift = 8u * (byte & 3u);
  return (low >> shift) | ((raw[byte / 4u + 1u] << 1u) << (31u - shift));
}

fn words_at(byte: u32) -> vec4u {
  let i = byte / 4u;
  let words = vec4u(raw[i], raw[i + 1u], raw[i + 2u], raw[i + 3u]);
  if (WHOLE_WORDS) { return words; }
  let shift = 8u * (byte & 3u);
  return (words >> vec4u(shift)) | ((vec4u(words.yzw, raw[i + 4u]) << vec4u(1u)) << vec4u(31u - shift));
}

// Whether words hold no NaN or infinity: their exponents of ones carry into the sign when STEP, the lowest bit, is added.
fn are_finite(words: vec4u) -> bool {
  let carried = ((words & vec4u(EXPONENTS)) + vec4u(STEP)) & vec4u(SIGNS);
  return all(carried == vec4u());
}

#part packed-bits
// Packs bits of bytes next to each other.

// The low nibbles of 16 bytes, in two words.
fn low_nibbles(words: vec4u) -> vec2u {
  var x = words & vec4u(0x0f0f0f0fu);
  x = (x | (x >> vec4u(4u))) & vec4u(0x00ff00ffu);
  x = (x | (x >> vec4u(8u))) & vec4u(0xffffu);
  return x.xz | (x.yw << vec2u(16u));
}

// The lowest two bits of four bytes.
fn low_pairs(word: u32) -> u32 {
  var x = word & 0x03030303u;
  x = (x | (x >> 6u)) & 0x000f000fu;
  return (x | (x >> 12u)) & 0xffu;
}

// Bit pair `r` of each of 16 bytes.
fn sixteen_pairs(words: vec4u, r: u32) -> u32 {
  let x = words >> vec4u(2u * r);
  return low_pairs(x.x) | (low_pairs(x.y) << 8u) | (low_pairs(x.z) << 16u) | (low_pairs(x.w) << 24u);
}

#part widened
// f32 bits of a finite half. A subnormal half becomes a normal f32: its fraction is shifted up to its first one.
fn widened(half: u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let size = half & 0x7fffu;
  if (size >= 0x400u) { return sign | ((size << 13u) + 0x38000000u); }
  if (size == 0u) { return sign; }
  let first = firstLeadingBit(size);
  return sign | ((first + 103u) << 23u) | ((size << (23u - first)) & 0x7fffffu);
}

#part five-words
// Scales of a run of eight blocks are five words (`scales/super2`, `scales/super6`): four runs have their first words, then the
// other words of each. `run` counts from the start of the matrix, which is padded to whole groups of four.
fn put_run(run: u32, first: u32, others: vec4u) {
  let four = run / 4u * 20u;
  let to = four + 4u + run % 4u * 4u;
  weight_scales[four + run % 4u] = first;
  weight_scales[to] = others.x;
  weight_scales[to + 1u] = others.y;
  weight_scales[to + 2u] = others.z;
  weight_scales[to + 3u] = others.w;
}

#variant repack-unit/floats
// F32, F16, BF16: unchanged.
// needs: raw-words
fn repack_unit(i: u32) -> bool {
  let words = words_at(16u * source_of(i));
  weight[params.firstUnit + i] = words;
  return are_finite(words);
}

#variant repack-unit/bytes
// Q8_0: scale, then 32 bytes. 128 is added to the lower three bytes of each word, as `codes/8bit` expects.
// needs: raw-words, repack-scales
fn repack_unit(i: u32) -> bool {
  let at = BLOCK_BYTES * source_of(i);
  let to = 2u * (params.firstUnit + i);
  weight[to] = words_at(at + 2u) ^ vec4u(0x00808080u);
  weight[to + 1u] = words_at(at + 18u) ^ vec4u(0x00808080u);
  return repack_scales(i, at);
}

#variant repack-unit/bits
// Q1_0: a scale for SCALE_SPAN blocks, then a word a block, unchanged.
// needs: raw-words, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / SCALE_SPAN);
  weight[params.firstUnit + i] = word_at(at + 2u + 4u * (origin % SCALE_SPAN));
  return repack_scales(i, at);
}

#variant repack-unit/eights
// IQ3_XXS, Q2_0: a scale for SCALE_SPAN blocks, then 8 bytes a block, unchanged.
// needs: raw-words, repack-high, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / SCALE_SPAN);
  weight[params.firstUnit + i] = words_at(at + 2u + 8u * (origin % SCALE_SPAN)).xy;
  repack_high(params.firstUnit + i, at);
  return repack_scales(i, at);
}

#variant repack-unit/nibbles
// Scales of SCALE_SPAN blocks, their fifth bits, then 16 bytes a block, whose low nibbles are its first half.
// needs: packed-bits, raw-words, repack-high, repack-recode, repack-scales
fn repack_unit(i: u32) -> bool {
  let origin = source_of(i);
  let at = BLOCK_BYTES * (origin / SCALE_SPAN);
  let codes = words_at(at + BLOCK_BYTES - 16u * (SCALE_SPAN - origin % SCALE_SPAN));
  weight[params.firstUnit + i] = recoded(vec4u(low_nibbles(codes), low_nibbles(codes >> vec4u(4u))));
  repack_high(params.firstUnit + i, at);
  return repack_scales(i, at);
}

#variant repack-unit/pairs
// Q2_K, Q3_K, TQ2_0: eight blocks have 64 bytes of bit pairs, from byte CODES_AT on. Block 4n + r has the pairs r of half n.
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

#variant repack-unit/super
// Q4_K, Q5_K: eight blocks have d, dmin, 12 bytes of 6-bit scales and minima, fifth bits, then 128 bytes of nibbles; blocks 2j
// and 2j + 1 share 32. The first block's invocation writes the scales of all.
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

// llama.cpp's packing (get_scale_min_k4) → low nibbles of scales, low nibbles of minima, upper bits of both. Blocks 0 to 3
// have their scales in the bytes of `a` and their minima in those of `b`; the others have both low nibbles in `c`, and their
// upper bits in the upper bits of `a` and `b`.
fn packed_scales(a: u32, b: u32, c: u32) -> vec3u {
  let low = low_nibbles(vec4u(a, c, b, c >> 4u));
  let upper = vec2u(low_pairs(a >> 4u) | (low_pairs(a >> 6u) << 8u), low_pairs(b >> 4u) | (low_pairs(b >> 6u) << 8u));
  return vec3u(low, upper.x | (upper.y << 16u));
}

#variant repack-unit/super6
// Q6_K: eight blocks have 128 bytes of nibbles, 64 of upper bit pairs, 16 scales, d. Block 4n + r has nibbles r >> 1 and
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

#variant repack-unit/ternary
// TQ1_0: eight blocks have 48 bytes of five digits, 4 bytes of four, then a scale, all unchanged. The first block's invocation
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

#variant repack-scales/halves
// An f16 scale of SCALE_SPAN blocks, at byte SCALE_AT, or a scale and a minimum. Two scales share a word, which the first
// block's invocation writes. The number of scales before the first unit is even, since the number of rows is.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (SCALE_BYTES == 4u) {
    let word = word_at(at);
    weight_scales[params.firstUnit + i] = word;
    return are_finite(vec4u(word));
  }
  if (i % (2u * SCALE_SPAN) != 0u) { return true; }
  var word = half_at(at + SCALE_AT);
  if (i + SCALE_SPAN < params.units) { word |= half_at(BLOCK_BYTES * (source_of(i + SCALE_SPAN) / SCALE_SPAN) + SCALE_AT) << 16u; }
  weight_scales[(params.firstUnit + i) / (2u * SCALE_SPAN)] = word;
  return are_finite(vec4u(word));
}

#variant repack-scales/exponents
// MXFP4: a block begins with its scale byte. Four scales share a word, which the first block's invocation writes. Whole words
// precede the first unit, since rows come in fours.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 4u != 0u) { return true; }
  var word = byte_at(at);
  for (var k = 1u; k < 4u && i + k < params.units; k++) { word |= byte_at(BLOCK_BYTES * source_of(i + k)) << (8u * k); }
  weight_scales[(params.firstUnit + i) / 4u] = word;
  return are_finite(vec4u(word, word >> 8u, 0u, 0u));
}

fn byte_at(byte: u32) -> u32 { return (raw[byte / 4u] >> (8u * (byte & 3u))) & 0xffu; }

#variant repack-scales/super2
// Q2_K: a super-block begins with 16 bytes, each a scale and a minimum of four bits, and ends with d and dmin.
// needs: five-words, raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 8u != 0u) { return true; }
  let halves = word_at(at + 80u);
  put_run((params.firstUnit + i) / 8u, halves, words_at(at));
  return are_finite(vec4u(halves));
}

#variant repack-scales/super3
// Q3_K: 12 bytes of 6-bit scales, then d, which becomes f32. The lower bits of scale s are a nibble of byte s % 8, the upper
// bits a pair of byte 8 + s % 4; the GPU's layout has all nibbles, then all pairs.
// needs: packed-bits, raw-words, widened
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 8u != 0u) { return true; }
  let words = words_at(at + 96u);
  let d = half_at(at + 108u);
  let low = low_nibbles(vec4u(words.xy, words.xy >> vec2u(4u)));
  let upper = low_pairs(words.z) | (low_pairs(words.z >> 2u) << 8u) | (low_pairs(words.z >> 4u) << 16u) | (low_pairs(words.z >> 6u) << 24u);
  weight_scales[(params.firstUnit + i) / 8u] = vec4u(widened(d), low, upper);
  return are_finite(vec4u(d));
}

#variant repack-scales/super4
// IQ4_XS: a super-block begins with d, the upper bits of eight 6-bit scales, and their low nibbles, all unchanged.
// needs: raw-words
fn repack_scales(i: u32, at: u32) -> bool {
  if (i % 8u != 0u) { return true; }
  weight_scales[(params.firstUnit + i) / 8u] = words_at(at).xy;
  return are_finite(vec4u(half_at(at)));
}

#variant repack-high/none
// Quants without upper bits.
fn repack_high(to: u32, at: u32) {}

#variant repack-high/word
// The fifth bits of a block are a word after its scales, unchanged.
// needs: raw-words
fn repack_high(to: u32, at: u32) { weight_high[to] = word_at(at + SCALE_BYTES); }

#variant repack-high/signs
// IQ3_XXS: a word of signs and a scale for each of eight blocks, after their quants, unchanged.
// needs: raw-words
fn repack_high(to: u32, at: u32) { weight_high[to] = word_at(at + 66u + 4u * (to & 7u)); }

#variant repack-high/transposed
// Q3_K, Q5_K: from byte HIGH_AT of a super-block on, bit j of byte e is the upper bit of element e of block j.
// needs: raw-words
fn repack_high(to: u32, at: u32) {
  let block = vec4u(to & 7u);
  weight_high[to] = lowest_bits(words_at(at + HIGH_AT) >> block) | (lowest_bits(words_at(at + HIGH_AT + 16u) >> block) << 16u);
}

// The lowest bits of 16 bytes: the product gathers those of four bytes in its top bits.
fn lowest_bits(words: vec4u) -> u32 {
  let bits = ((words & vec4u(0x01010101u)) * vec4u(0x10204080u)) >> vec4u(28u);
  return dot(bits, vec4u(1u, 16u, 256u, 4096u));
}

#variant repack-recode/none
// Unchanged quants.
fn recoded(words: vec4u) -> vec4u { return words; }

#variant repack-recode/signed
// MXFP4: a nibble of a sign (the upper bit) and a size becomes 8 plus or minus the size.
fn recoded(words: vec4u) -> vec4u {
  let signs = (words >> vec4u(3u)) & vec4u(0x11111111u);
  return (words ^ (vec4u(0x88888888u) | (signs * 7u))) + signs;
}
