// IQ4_NL, IQ4_XS, MXFP4: element 8i + j of a block is nibble j of word i, and its value one of 16 whole numbers: those that a
// polynomial of the nibble less 8, rounded, gives: no load a weight, as a table would be, and fewer registers than a choice.
// needs: block
const CODE_STEP = vec4f(1.0);

fn curve4(word: u32) -> vec4f {
  let nibbles = vec4f(vec4i(vec4u(word) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u)));
  let k = nibbles * vec4f(1.0, 0.0625, 0.00390625, 0.000244140625) - 8.0;
  return round((((CURVE_4 * k + CURVE_3) * k + CURVE_2) * k + CURVE_1) * k + CURVE_0);
}

fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  return Block(
    curve4(w.x), curve4(w.x >> 16u), curve4(w.y), curve4(w.y >> 16u),
    curve4(w.z), curve4(w.z >> 16u), curve4(w.w), curve4(w.w >> 16u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { words: vec4u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(curve4(raw.words.x), curve4(raw.words.x >> 16u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.words.yzwx); }
