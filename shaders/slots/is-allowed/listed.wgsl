// Where a grammar says which tokens may come next: bit i % 32 of word i / 32 of the row that the draw is from.
fn is_allowed(token: u32) -> bool {
  let word = allowed[params.row * ((VOCAB + 31u) / 32u) + token / 32u];
  return ((word >> (token & 31u)) & 1u) == 1u;
}
