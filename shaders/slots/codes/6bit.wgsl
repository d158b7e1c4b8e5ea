// Bits 2e and 2e + 1 of the block's two words in `weight_high` are the upper bits of element e; 32 is subtracted.
// needs: block, nibbles
fn upper_bits(word: u32) -> vec4f {
  let bits = (vec4u(word) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(3u);
  return (vec4f(vec4i(bits)) * 16.0 - 32.0) * vec4f(1.0, 16.0, 256.0, 4096.0);
}

fn codes(row: u32, block: u32) -> Block {
  let low = nibbles(weight[row * BLOCKS + block]);
  let high = weight_high[row * BLOCKS + block];
  return Block(
    low.a + upper_bits(high.x), low.b + upper_bits(high.x >> 8u),
    low.c + upper_bits(high.x >> 16u), low.d + upper_bits(high.x >> 24u),
    low.e + upper_bits(high.y), low.f + upper_bits(high.y >> 8u),
    low.g + upper_bits(high.y >> 16u), low.h + upper_bits(high.y >> 24u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec4u, high: vec2u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part], weight_high[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(nibbles4(raw.low.x) + upper_bits(raw.high.x), nibbles4(raw.low.x >> 16u) + upper_bits(raw.high.x >> 8u));
}

fn codes_behind(raw: RawCodes) -> RawCodes {
  return RawCodes(raw.low.yzwx, vec2u((raw.high.x >> 16u) | (raw.high.y << 16u), raw.high.y >> 16u));
}
