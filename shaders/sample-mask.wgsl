// Masks the tokens below the found key, and of those at it all but the first few that the target needs.
// needs: sampling
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= SCANNERS) { return; }
  let search = searches[8];
  var maximum = best_logits[0];
  for (var i = 1u; i < SCANNERS; i++) { maximum = max(maximum, best_logits[i]); }
  var ties_before = 0.0;
  for (var scanner = 0u; scanner < id.x; scanner++) { ties_before += bins[scanner * 16u]; }
  let run = run_of(id.x);
  let row = params.row * VOCAB;
  for (var i = run.start; i < run.end; i++) {
    let logit = logits[row + i];
    let key = order_key(logit);
    if (key > search.key) { continue; }
    if (key == search.key) {
      let each = select(1.0, exp((logit - maximum) * params.inverseTemperature), params.byMass == 1u);
      let taken = search.above + ties_before * each;
      ties_before += 1.0;
      if (taken < search.target_weight || ties_before == 1.0) { continue; }
    }
    logits[row + i] = MASKED;
  }
}
