// The best of the tiles' tokens becomes the sequence's next token; ties go to the lower token.
// With ENTROPY: −Σ p ln p / ln VOCAB = (ln Σ e^d − Σ d e^d / Σ e^d) / ln VOCAB, where d is a logit minus the largest.
// needs: best-token, sampling, softmax
@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var best = MASKED;
  var token = 0u;
  var softmax = NO_LOGITS;
  for (var tile = lane; tile < TILES; tile += LANES) {
    if (scores[tile] > best) {
      best = scores[tile];
      token = best_tokens[tile];
    }
    if (ENTROPY) { softmax = merge_softmax(softmax, softmaxes[tile]); }
  }
  let found = best_of(best, token);
  if (lane == 0u) {
    tokens[params.slot] = found.token;
    if (ADJUST) { counts[params.slot * VOCAB + found.token] += 1u; }
  }
  if (ENTROPY) {
    let all = all_softmaxes(softmax, lane);
    if (lane == 0u) { entropy[params.slot] = clamp((log(all.sum) - all.weighted / all.sum) * INVERSE_LOG_VOCAB, 0.0, 1.0); }
  }
}
