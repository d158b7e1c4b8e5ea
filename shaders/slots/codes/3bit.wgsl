// Bit e of the block's word in `weight_high` is the third bit of element e; 4 is subtracted.
// needs: block, pairs
fn third_bits(word: u32) -> vec4f {
  let bits = (vec4u(word) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  return (vec4f(vec4i(bits)) - 1.0) * vec4f(4.0, 16.0, 64.0, 256.0);
}

fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  let high = weight_high[row * BLOCKS + block];
  return Block(
    pairs4(w.x) + third_bits(high), pairs4(w.x >> 8u) + third_bits(high >> 4u),
    pairs4(w.x >> 16u) + third_bits(high >> 8u), pairs4(w.x >> 24u) + third_bits(high >> 12u),
    pairs4(w.y) + third_bits(high >> 16u), pairs4(w.y >> 8u) + third_bits(high >> 20u),
    pairs4(w.y >> 16u) + third_bits(high >> 24u), pairs4(w.y >> 24u) + third_bits(high >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec2u, high: u32 }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part], weight_high[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(pairs4(raw.low.x) + third_bits(raw.high), pairs4(raw.low.x >> 8u) + third_bits(raw.high >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(pairs_behind(raw.low), raw.high >> 8u); }
