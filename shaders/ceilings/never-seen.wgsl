// A kernel that no driver has compiled before, if SEED is new. Its results have no meaning.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var state = id.x ^ SEED;
  #for n in ROUNDS
  state = (state ^ (state >> 13u)) * (SEED + #nu);
  #end
  y[id.x] = state;
}
