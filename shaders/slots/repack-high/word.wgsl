// The fifth bits of a block are a word behind its scales: as they are.
// needs: raw-words
fn repack_high(to: u32, at: u32) { weight_high[to] = word_at(at + SCALE_BYTES); }
