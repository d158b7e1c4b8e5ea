// As 3bit, in tiles: of what was read, this block's and the next one's.
// needs: pairs, third-bits
struct RawCodes { low: vec2u, high: u32, next: vec3u }

fn codes_of(low: vec2u, high: u32, next: vec3u) -> RawCodes { return RawCodes(low, high, next); }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(pairs4(raw.low.x) + third_bits(raw.high), pairs4(raw.low.x >> 8u) + third_bits(raw.high >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(pairs_behind(raw.low), raw.high >> 8u, raw.next); }
