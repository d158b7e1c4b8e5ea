// needs: block, pairs
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  return Block(
    pairs4(w.x), pairs4(w.x >> 8u), pairs4(w.x >> 16u), pairs4(w.x >> 24u),
    pairs4(w.y), pairs4(w.y >> 8u), pairs4(w.y >> 16u), pairs4(w.y >> 24u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec2u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(pairs4(raw.low.x), pairs4(raw.low.x >> 8u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(pairs_behind(raw.low)); }
