// needs: block, nibbles
fn codes(row: u32, block: u32) -> Block { return nibbles(weight[row * BLOCKS + block]); }

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec4u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(nibbles4(raw.low.x), nibbles4(raw.low.x >> 16u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.low.yzwx); }
