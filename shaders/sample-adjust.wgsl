// Penalties and bias, in place; then each scanner's largest logit and its token.
// counts: times the token stands in the answer, and PROMPT_FLAG when it stands in the prompt.
const PROMPT_FLAG = 0x80000000u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= SCANNERS) { return; }
  let run = run_of(id.x);
  var best = MASKED;
  var token = run.start;
  for (var i = run.start; i < run.end; i++) {
    var logit = logits[i];
    if (ADJUST) {
      let count = counts[i] & ~PROMPT_FLAG;
      if (counts[i] != 0u) {
        logit = select(logit * params.repetition, logit / params.repetition, logit > 0.0);
      }
      logit -= params.frequency * f32(count) + select(0.0, params.presence, count > 0u);
      logit = max(logit + token_bias[i], MASKED);
      logits[i] = logit;
    }
    if (logit > best) {
      best = logit;
      token = i;
    }
  }
  best_logits[id.x] = best;
  best_tokens[id.x] = token;
}
