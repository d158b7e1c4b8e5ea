// A kernel that no driver has compiled before, where SEED is another one: what it computes means nothing.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var state = id.x ^ SEED;
  #for n in ROUNDS
  state = (state ^ (state >> 13u)) * (SEED + #nu);
  #end
  y[id.x] = state;
}
