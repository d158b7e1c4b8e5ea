// IQ3_XXS: byte i of a block's two words is the place in GRID of the sizes of elements 4i to 4i + 3. Bits 7i to 7i + 6 of its
// word in `weight_high` are the signs of the first seven of elements 8i to 8i + 7; of eight an even number are negative.
// needs: block, grid4
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  let high = weight_high[row * BLOCKS + block];
  let s = vec4u(signs8(high), signs8(high >> 7u), signs8(high >> 14u), signs8(high >> 21u));
  return Block(
    grid4(w.x, s.x), grid4(w.x >> 8u, s.x >> 4u), grid4(w.x >> 16u, s.y), grid4(w.x >> 24u, s.y >> 4u),
    grid4(w.y, s.z), grid4(w.y >> 8u, s.z >> 4u), grid4(w.y >> 16u, s.w), grid4(w.y >> 24u, s.w >> 4u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }
