// needs: bits, block
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  return Block(
    bits4(w), bits4(w >> 4u), bits4(w >> 8u), bits4(w >> 12u),
    bits4(w >> 16u), bits4(w >> 20u), bits4(w >> 24u), bits4(w >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }
