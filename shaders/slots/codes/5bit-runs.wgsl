// As 5bit, in tiles: of what was read for a run, the upper bits of this block, and those of the invocation's later one.
// needs: fifth-bits, nibbles
struct RawCodes { low: vec4u, high: u32, later: u32 }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(nibbles4(raw.low.x) + fifth_bits(raw.high), nibbles4(raw.low.x >> 16u) + fifth_bits(raw.high >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.low.yzwx, raw.high >> 8u, raw.later); }
