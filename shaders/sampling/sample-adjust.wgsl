// Penalties and bias, in place, and what may not be sampled is masked; then each tile's largest logit and its token.
// counts: occurrences of the token in the answer, and PROMPT_FLAG if the prompt has it.
// With ENTROPY it also writes the softmax terms that sample-pick needs for the entropy of the raw logits.
// needs: best-token, is-allowed, sampling, softmax
const PROMPT_FLAG = 0x80000000u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group.x);
  let row = params.row * VOCAB;
  let mine = params.slot * VOCAB;
  var best = MASKED;
  var token = tile.start;
  var softmax = NO_LOGITS;
  for (var i = tile.start + lane; i < tile.end; i += LANES) {
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
  let found = best_of(best, token);
  if (lane == 0u) {
    best_logits[group.x] = found.value;
    best_tokens[group.x] = found.token;
  }
  if (ENTROPY) {
    let all = all_softmaxes(softmax, lane);
    if (lane == 0u) { softmaxes[group.x] = all; }
  }
}
