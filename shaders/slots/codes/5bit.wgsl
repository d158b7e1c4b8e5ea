// Bit e of the block's word in `weight_high` is the fifth bit of element e.
// needs: block, nibbles
fn fifth_bits(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u))) * vec4f(16.0, 256.0, 4096.0, 65536.0);
}

fn codes(row: u32, block: u32) -> Block {
  let low = nibbles(weight[row * BLOCKS + block]);
  let high = weight_high[row * BLOCKS + block];
  return Block(
    low.a + fifth_bits(high), low.b + fifth_bits(high >> 4u),
    low.c + fifth_bits(high >> 8u), low.d + fifth_bits(high >> 12u),
    low.e + fifth_bits(high >> 16u), low.f + fifth_bits(high >> 20u),
    low.g + fifth_bits(high >> 24u), low.h + fifth_bits(high >> 28u));
}
