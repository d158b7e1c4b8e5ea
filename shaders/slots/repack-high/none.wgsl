// Codes of no more bits.
fn repack_high(to: u32, at: u32) {}
