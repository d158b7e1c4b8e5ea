// Samples by an exponential race: token i arrives at E_i / p_i with E_i exponential, and the first to arrive is a sample
// of p (the Gumbel-max trick without its loss of precision). Writes each tile's winner. min-p is a bound on logits.
// needs: best-token, largest-logit, sampling
fn mix(value: u32) -> u32 {
  // The finaliser of MurmurHash3: every input bit changes every output bit with probability near one half.
  var h = value;
  h = (h ^ (h >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

// -log(1 - u) for u uniform on (0, 1), accurate to a few ulps for small u, which decide the race.
fn exponential(hash: u32) -> f32 {
  let u = (f32(hash >> 1u) + 0.5) * 4.656612873077393e-10; // 2^-31
  if (u < 0.01) { return u * (1.0 + u * (0.5 + u * 0.3333333)); }
  return -log(max(1.0 - u, 5.96e-8));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let maximum = largest_logit(lane);
  let tile = tile_of(group.x);
  let row = params.row * VOCAB;
  let stream = mix(params.seed ^ mix(params.position + 0x9e3779b9u));
  var best = MASKED;
  var token = tile.start;
  for (var i = tile.start + lane; i < tile.end; i += LANES) {
    let logit = logits[row + i];
    let scaled = (logit - maximum) * params.inverseTemperature;
    if (logit <= MASKED || scaled < params.logMinP) { continue; }
    let score = scaled - log(exponential(mix(stream ^ mix(i + 0x7f4a7c15u))));
    if (score > best) {
      best = score;
      token = i;
    }
  }
  let found = best_of(best, token);
  if (lane == 0u) {
    sampled_scores[group.x] = found.value;
    best_tokens[group.x] = found.token;
  }
}
