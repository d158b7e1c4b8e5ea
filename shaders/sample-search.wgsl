// One round of a 16-ary search for the logit at which a filter cuts: the largest key such that the tokens at or above it
// weigh at least the target. A token weighs 1 (top-k: target k) or its probability (top-p: target p of the total).
// Round r < 8 sorts the tokens whose key agrees with what is known so far into 16 bins by its next four bits; round 8
// counts those with exactly the found key. Every invocation reads the bins of the round before and draws the same
// conclusion; the first one leaves it in `searches` for the next round.
// needs: sampling
fn weight(logit: f32, maximum: f32) -> f32 {
  return select(1.0, exp((logit - maximum) * params.inverseTemperature), params.byMass == 1u);
}

fn next_search(round: u32) -> Search {
  var search: Search;
  if (round == 0u) { return search; }
  if (round > 1u) { search = searches[round - 1u]; }
  let base = ((round - 1u) & 1u) * SCANNERS * 16u;
  var totals: array<f32, 16>;
  for (var scanner = 0u; scanner < SCANNERS; scanner++) {
    for (var bin = 0u; bin < 16u; bin++) { totals[bin] += bins[base + scanner * 16u + bin]; }
  }
  if (round == 1u) {
    search.target_weight = params.goal;
    if (params.byMass == 1u) {
      var total = 0.0;
      for (var bin = 0u; bin < 16u; bin++) { total += totals[bin]; }
      search.target_weight = params.goal * total;
    }
  }
  var digit = 15u;
  var lowest = 15u; // the lowest bin with a token in it, should rounding leave the sum short of the target
  for (var bin = 0u; bin < 16u; bin++) { if (totals[15u - bin] > 0.0) { lowest = 15u - bin; } }
  while (digit > lowest && search.above + totals[digit] < search.target_weight) {
    search.above += totals[digit];
    digit--;
  }
  search.key |= digit << (32u - 4u * round);
  return search;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= SCANNERS) { return; }
  let round = params.round;
  let search = next_search(round);
  if (id.x == 0u) { searches[round] = search; }
  var maximum = best_logits[0];
  for (var i = 1u; i < SCANNERS; i++) { maximum = max(maximum, best_logits[i]); }

  let mine = (round & 1u) * SCANNERS * 16u + id.x * 16u;
  for (var bin = 0u; bin < 16u; bin++) { bins[mine + bin] = 0.0; }
  let run = run_of(id.x);
  let row = params.row * VOCAB;
  for (var i = run.start; i < run.end; i++) {
    let logit = logits[row + i];
    if (logit <= MASKED) { continue; }
    let key = order_key(logit);
    var bin = 0u;
    if (round == 8u) {
      if (key != search.key) { continue; }
    } else {
      // Shifting by 32 is not a shift by 32 in WGSL, hence the select.
      let known = select(key >> (32u - 4u * round), 0u, round == 0u);
      let wanted = select(search.key >> (32u - 4u * round), 0u, round == 0u);
      if (known != wanted) { continue; }
      bin = (key >> (28u - 4u * round)) & 15u;
    }
    // In round 8 tokens are counted, since they weigh the same.
    if (round == 8u) { bins[mine] += 1.0; } else { bins[mine + bin] += weight(logit, maximum); }
  }
}
