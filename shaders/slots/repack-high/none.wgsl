// Codes of four bits.
fn repack_high(to: u32, at: u32) {}
