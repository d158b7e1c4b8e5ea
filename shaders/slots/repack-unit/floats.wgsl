// F32, F16, BF16: as they are.
// needs: raw-words
fn repack_unit(i: u32) -> bool {
  let words = words_at(16u * source_of(i));
  weight[params.firstUnit + i] = words;
  return are_finite(words);
}
