// As 5bit, in tiles: upper bits of four blocks are read at once, of which two invocations have two each, the `j`th and the one
// two behind it.
// fills: next-codes
// needs: fifth-bits, nibbles
struct RawCodes { low: vec4u, high: u32, later: u32 }

fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  let i = row * BLOCKS + part;
  if (!begins_run) { return RawCodes(weight[i], before.later, 0u); }
  let words = weight_high[i / 4u];
  let high = select(words.xz, words.yw, (i & 1u) == 1u);
  return RawCodes(weight[i], select(high.x, high.y, (i & 2u) != 0u), high.y);
}

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(nibbles4(raw.low.x) + fifth_bits(raw.high), nibbles4(raw.low.x >> 16u) + fifth_bits(raw.high >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.low.yzwx, raw.high >> 8u, raw.later); }
