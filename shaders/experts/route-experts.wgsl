// Which experts a token goes through: the EXPERTS_USED with the highest of its EXPERTS scores, highest first; of equal ones
// the earlier. Their shares are a softmax over all scores, or, where NORMALIZED, over theirs. A workgroup a token.
var<workgroup> scores: array<f32, EXPERTS>;
var<workgroup> chosen: array<u32, EXPERTS_USED>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let token = group.x;
  for (var i = local; i < EXPERTS; i += WORKGROUP) { scores[i] = x[token * EXPERTS + i]; }
  workgroupBarrier();
  for (var i = local; i < EXPERTS; i += WORKGROUP) {
    let own = scores[i];
    var place = 0u;
    for (var other = 0u; other < EXPERTS; other++) {
      if (scores[other] > own || (scores[other] == own && other < i)) { place++; }
    }
    if (place < EXPERTS_USED) { chosen[place] = i; }
  }
  workgroupBarrier();
  let highest = scores[chosen[0]];
  var sum = 0.0;
  if (NORMALIZED) {
    for (var i = 0u; i < EXPERTS_USED; i++) { sum += exp(scores[chosen[i]] - highest); }
  } else {
    for (var i = 0u; i < EXPERTS; i++) { sum += exp(scores[i] - highest); }
  }
  for (var i = local; i < EXPERTS_USED; i += WORKGROUP) {
    let share = exp(scores[chosen[i]] - highest) / sum;
    routes[token * EXPERTS_USED + i] = vec2u(chosen[i], bitcast<u32>(share));
  }
}
