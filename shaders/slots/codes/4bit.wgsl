// needs: block, nibbles
fn codes(row: u32, block: u32) -> Block { return nibbles(weight[row * BLOCKS + block]); }
