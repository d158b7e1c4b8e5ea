// IQ3_XXS: byte i of a block's two words is the place in GRID of the sizes of elements 4i to 4i + 3. Bits 7i to 7i + 6 of its
// word in `weight_high` are the signs of the first seven of elements 8i to 8i + 7; of eight an even number are negative.
// needs: block, grid
const CODE_STEP = vec4f(1.0, 0.00390625, 0.0000152587890625, 5.9604644775390625e-8);

// Four elements, whose signs begin at the lowest bit.
fn grid4(index: u32, signs: u32) -> vec4f {
  let sizes = vec4f(vec4i(vec4u(GRID[index & 255u]) & vec4u(0xffu, 0xff00u, 0xff0000u, 0xff000000u)));
  let bits = (vec4u(signs) << vec4u(31u, 30u, 29u, 28u)) & vec4u(0x80000000u);
  return bitcast<vec4f>(bitcast<vec4u>(sizes) | bits);
}

// Eight signs from seven.
fn signs8(bits: u32) -> u32 { return (bits & 127u) | ((countOneBits(bits & 127u) & 1u) << 7u); }

fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  let high = weight_high[row * BLOCKS + block];
  let s = vec4u(signs8(high), signs8(high >> 7u), signs8(high >> 14u), signs8(high >> 21u));
  return Block(
    grid4(w.x, s.x), grid4(w.x >> 8u, s.x >> 4u), grid4(w.x >> 16u, s.y), grid4(w.x >> 24u, s.y >> 4u),
    grid4(w.y, s.z), grid4(w.y >> 8u, s.z >> 4u), grid4(w.y >> 16u, s.w), grid4(w.y >> 24u, s.w >> 4u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { places: vec2u, signs: u32 }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part], weight_high[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 {
  let signs = signs8(raw.signs);
  return Codes8(grid4(raw.places.x, signs), grid4(raw.places.x >> 8u, signs >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes {
  return RawCodes(vec2u((raw.places.x >> 16u) | (raw.places.y << 16u), raw.places.y >> 16u), raw.signs >> 7u);
}
