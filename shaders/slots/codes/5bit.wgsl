// Bit e of the block's word in `weight_high` is the fifth bit of element e.
// needs: block, nibbles
fn fifth_bits(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u))) * vec4f(16.0, 256.0, 4096.0, 65536.0);
}

fn codes(row: u32, block: u32) -> Block {
  let low = nibbles(weight[row * BLOCKS + block]);
  let high = weight_high[row * BLOCKS + block];
  return Block(
    low.a + fifth_bits(high), low.b + fifth_bits(high >> 4u),
    low.c + fifth_bits(high >> 8u), low.d + fifth_bits(high >> 12u),
    low.e + fifth_bits(high >> 16u), low.f + fifth_bits(high >> 20u),
    low.g + fifth_bits(high >> 24u), low.h + fifth_bits(high >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec4u, high: u32 }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part], weight_high[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(nibbles4(raw.low.x) + fifth_bits(raw.high), nibbles4(raw.low.x >> 16u) + fifth_bits(raw.high >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.low.yzwx, raw.high >> 8u); }
