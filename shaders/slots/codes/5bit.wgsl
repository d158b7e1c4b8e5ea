// needs: block, fifth-bits, nibbles
fn codes(row: u32, block: u32) -> Block {
  let low = nibbles(weight[row * BLOCKS + block]);
  let high = weight_high[row * BLOCKS + block];
  return Block(
    low.a + fifth_bits(high), low.b + fifth_bits(high >> 4u),
    low.c + fifth_bits(high >> 8u), low.d + fifth_bits(high >> 12u),
    low.e + fifth_bits(high >> 16u), low.f + fifth_bits(high >> 20u),
    low.g + fifth_bits(high >> 24u), low.h + fifth_bits(high >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }
