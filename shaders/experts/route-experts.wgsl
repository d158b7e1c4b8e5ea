// Chooses the EXPERTS_USED experts with the highest of EXPERTS scores of each token, the highest first; among equal scores, the
// earlier expert. Shares are divided by their sum with NORMALIZED, else by the sum of all experts'. One workgroup a token.
// needs: expert-share
var<workgroup> preferences: array<f32, EXPERTS>;
var<workgroup> chosen: array<u32, EXPERTS_USED>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let scores = group.x * EXPERTS;
  for (var i = local; i < EXPERTS; i += WORKGROUP) { preferences[i] = preference(x[scores + i], i); }
  workgroupBarrier();
  for (var i = local; i < EXPERTS; i += WORKGROUP) {
    let own = preferences[i];
    var place = 0u;
    for (var other = 0u; other < EXPERTS; other++) {
      if (preferences[other] > own || (preferences[other] == own && other < i)) { place++; }
    }
    if (place < EXPERTS_USED) { chosen[place] = i; }
  }
  workgroupBarrier();
  let highest = x[scores + chosen[0]];
  var sum = 0.0;
  if (NORMALIZED) {
    for (var i = 0u; i < EXPERTS_USED; i++) { sum += share(x[scores + chosen[i]], highest); }
  } else {
    for (var i = 0u; i < EXPERTS; i++) { sum += share(x[scores + i], highest); }
  }
  for (var i = local; i < EXPERTS_USED; i += WORKGROUP) {
    let own = share(x[scores + chosen[i]], highest) / sum;
    routes[group.x * EXPERTS_USED + i] = vec2u(chosen[i], bitcast<u32>(own));
  }
}
