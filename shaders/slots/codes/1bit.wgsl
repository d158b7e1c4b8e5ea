// Bit e of a block's word is element e: 0 or 2, from which 1 is subtracted.
// needs: block
const CODE_STEP = vec4f(2.0, 1.0, 0.5, 0.25);

fn bits4(word: u32) -> vec4f { return vec4f(vec4i(vec4u(word) & vec4u(1u, 2u, 4u, 8u))); }

fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  return Block(
    bits4(w), bits4(w >> 4u), bits4(w >> 8u), bits4(w >> 12u),
    bits4(w >> 16u), bits4(w >> 20u), bits4(w >> 24u), bits4(w >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { bits: u32 }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(bits4(raw.bits), bits4(raw.bits >> 4u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.bits >> 8u); }
