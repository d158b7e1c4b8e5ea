// The best of the scanners' tokens becomes the next token; ties go to the lower token.
@compute @workgroup_size(1)
fn main() {
  var winner = 0u;
  for (var i = 1u; i < SCANNERS; i++) {
    if (scores[i] > scores[winner]) { winner = i; }
  }
  tokens[0] = best_tokens[winner];
  if (ADJUST) { counts[best_tokens[winner]] += 1u; }
}
