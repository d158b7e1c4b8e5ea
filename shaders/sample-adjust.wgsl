// Penalties and bias, in place, and what may not be drawn is masked; then each scanner's largest logit and its token.
// counts: times the token stands in the answer, and PROMPT_FLAG when it stands in the prompt.
// With ENTROPY also what sample-pick needs for the entropy of the logits as they came (online softmax, arXiv 1805.02867).
// needs: is-allowed, sampling
const PROMPT_FLAG = 0x80000000u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= SCANNERS) { return; }
  let run = run_of(id.x);
  let row = params.row * VOCAB;
  let mine = params.slot * VOCAB;
  var best = MASKED;
  var token = run.start;
  var softmax = Softmax(MASKED, 0.0, 0.0);
  for (var i = run.start; i < run.end; i++) {
    var logit = logits[row + i];
    if (ENTROPY) { softmax = merge_softmax(softmax, Softmax(logit, 1.0, 0.0)); }
    if (ADJUST) {
      let seen = counts[mine + i];
      let count = seen & ~PROMPT_FLAG;
      if (seen != 0u) {
        logit = select(logit * params.repetition, logit / params.repetition, logit > 0.0);
      }
      logit -= params.frequency * f32(count) + select(0.0, params.presence, count > 0u);
      logit = max(logit + token_bias[mine + i], MASKED);
      logits[row + i] = logit;
    }
    if (!is_allowed(i)) {
      logit = MASKED;
      logits[row + i] = logit;
    }
    if (logit > best) {
      best = logit;
      token = i;
    }
  }
  best_logits[id.x] = best;
  best_tokens[id.x] = token;
  if (ENTROPY) { softmaxes[id.x] = softmax; }
}
