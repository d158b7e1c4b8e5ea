// IQ3_XXS: a word of signs and a scale for each of eight blocks, behind their codes: as they are.
// needs: raw-words
fn repack_high(to: u32, at: u32) { weight_high[to] = word_at(at + 66u + 4u * (to & 7u)); }
