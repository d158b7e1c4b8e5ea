// The best of the scanners' tokens becomes the stream's next token; ties go to the lower token.
// With ENTROPY: −Σ p ln p / ln VOCAB = (ln Σ e^d − Σ d e^d / Σ e^d) / ln VOCAB, d the distance to the largest logit.
// needs: sampling
@compute @workgroup_size(1)
fn main() {
  var winner = 0u;
  for (var i = 1u; i < SCANNERS; i++) {
    if (scores[i] > scores[winner]) { winner = i; }
  }
  tokens[params.slot] = best_tokens[winner];
  if (ADJUST) { counts[params.slot * VOCAB + best_tokens[winner]] += 1u; }
  if (ENTROPY) {
    var all = softmaxes[0];
    for (var i = 1u; i < SCANNERS; i++) { all = merge_softmax(all, softmaxes[i]); }
    entropy[params.slot] = clamp((log(all.sum) - all.weighted / all.sum) * INVERSE_LOG_VOCAB, 0.0, 1.0);
  }
}
