// needs: block, pairs, third-bits
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  let high = weight_high[row * BLOCKS + block];
  return Block(
    pairs4(w.x) + third_bits(high), pairs4(w.x >> 8u) + third_bits(high >> 4u),
    pairs4(w.x >> 16u) + third_bits(high >> 8u), pairs4(w.x >> 24u) + third_bits(high >> 12u),
    pairs4(w.y) + third_bits(high >> 16u), pairs4(w.y >> 8u) + third_bits(high >> 20u),
    pairs4(w.y >> 16u) + third_bits(high >> 24u), pairs4(w.y >> 24u) + third_bits(high >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }
