// As 1bit, in tiles: of what was read, this block's and the next ones'.
// needs: block, bits
struct RawCodes { bits: u32, next: vec3u }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(bits4(raw.bits), bits4(raw.bits >> 4u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.bits >> 8u, raw.next); }
